-------------------------------- MODULE Sink --------------------------------
(* A sink: rows, watermark and position of a catalogue, from one shard of `mean-ratings`.                 *)
(*                                                                                                        *)
(* The log is written by owners as Owner.tla has them: a mean is right at its as_of, and before a         *)
(* watermark lies every mean that it stands for; slow writers add older records at any place. Compaction  *)
(* takes any record that has a newer one of its key, at any moment. The sink crashes at any step.         *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Off,      \* the rule that is taken out; "none"
  Feed,     \* the log of `ratings`: the movie of each message; the offset is the index
  LogMax,   \* records of `mean-ratings`
  SlowMax   \* of them by slow writers

VARIABLES
  log,      \* `mean-ratings`: sequence of [key, says], a mean's as_of or a watermark's offset; key "gone": compacted
  highest,  \* of each key the highest that was ever there
  slow,
  rows,     \* the catalogue: of each movie the as_of
  mark,     \* its watermark
  held,     \* its watermark that does not hold yet (RuleWatermarkAtEnd)
  position, \* its position: so many records were read
  taken,    \* what the sink has read and not committed: [rows, held, position, whole]; whole: it was at the end once,
            \* and compaction had taken nothing of what it has read since
  stale     \* for WatermarkIsSound: the movies whose newest record was a slow writer's when the sink was at the end last

catalogue == <<rows, mark, held, position>>
vars == <<log, highest, slow, rows, mark, held, position, taken, stale>>

SmallFeed == <<"x", "x">>
LargeFeed == <<"x", "y", "x">>

Rule(rule) == Off # rule
End == Len(Feed)
Movies == {Feed[i] : i \in 1..End}
Keys == Movies \cup {"shard"}
Max(a, b) == IF a > b THEN a ELSE b
AsOf(n, m) == LET of == {i \in 1..n : Feed[i] = m}
              IN IF of = {} THEN 0 ELSE CHOOSE i \in of : \A j \in of : j <= i
Newest(key) == LET of == {i \in 1..Len(log) : log[i].key = key}
               IN IF of = {} THEN 0 ELSE log[CHOOSE i \in of : \A j \in of : j <= i].says

Init ==
  /\ log = <<>> /\ highest = [k \in Keys |-> 0] /\ slow = 0
  /\ rows = [m \in Movies |-> 0] /\ mark = 0 /\ held = 0 /\ position = 0
  /\ taken = [rows |-> rows, held |-> 0, position |-> 0, whole |-> ~Rule("RuleWholeFromTheEnd")]
  /\ stale = {}

------------------------------------------------------------------------------
(* The writers.                                                               *)

MayBePublished(key, says) ==
  IF key = "shard" THEN \A m \in Movies : highest[m] >= AsOf(says, m) ELSE Feed[says] = key

Write(key, says) ==
  /\ Len(log) < LogMax
  /\ MayBePublished(key, says)
  /\ log' = Append(log, [key |-> key, says |-> says])
  /\ highest' = [highest EXCEPT ![key] = Max(@, says)]
  /\ UNCHANGED <<catalogue, taken, stale>>

(* What is new, or mends what a slower writer left.                                                       *)
OwnerWrites == \E key \in Keys : \E says \in Max(highest[key], Newest(key) + 1) .. End : Write(key, says) /\ UNCHANGED slow

SlowWriterWrites ==
  /\ slow < SlowMax
  /\ slow' = slow + 1
  /\ \E key \in Keys : \E says \in 1..highest[key] : Write(key, says)

Compact ==
  /\ \E i \in 1..Len(log) :
       /\ log[i].key # "gone"
       /\ \E j \in i + 1 .. Len(log) : log[j].key = log[i].key
       /\ log' = [log EXCEPT ![i] = [key |-> "gone", says |-> 0]]
  /\ UNCHANGED <<highest, slow, catalogue, taken, stale>>

------------------------------------------------------------------------------
(* The sink.                                                                  *)

Take ==
  /\ taken.position < Len(log)
  /\ LET record == log[taken.position + 1]
         old == taken.rows
         new == IF record.key \in Movies /\ (Rule("RuleAsOfGuard") => record.says > old[record.key])
                THEN [old EXCEPT ![record.key] = record.says] ELSE old
     IN taken' = [rows |-> new, position |-> taken.position + 1,
                  held |-> IF record.key = "shard" THEN Max(taken.held, record.says) ELSE taken.held,
                  whole |-> taken.whole /\ (Rule("RuleGapIsSeen") => record.key # "gone")]
  /\ UNCHANGED <<log, highest, slow, catalogue, stale>>

(* A watermark holds where the sink has read to the end of the shard: what it has not read yet may be what *)
(* took the place of means that compaction took before the sink came by. From there on it holds at once,  *)
(* for as long as nothing is missing in what the sink reads.                                              *)
Holds == Rule("RuleWatermarkAtEnd") => taken.position = Len(log) \/ taken.whole
Uncommitted == taken.rows # rows \/ taken.held # held \/ taken.position # position

CommitRows ==
  /\ rows' = taken.rows
  /\ mark' = IF Holds THEN Max(mark, taken.held) ELSE mark
  /\ held' = IF Rule("RuleHeldIsStored") THEN taken.held ELSE 0

Commit ==
  /\ Uncommitted \/ (Holds /\ taken.held > mark)
  /\ IF Rule("RulePositionWithRows") \/ position = taken.position
     THEN CommitRows /\ position' = taken.position
     ELSE position' = taken.position /\ UNCHANGED <<rows, mark, held>>  \* the rows follow
  /\ taken' = [taken EXCEPT !.whole = @ \/ taken.position = Len(log)]
  /\ stale' = IF taken.position = Len(log) THEN {m \in Movies : Newest(m) < highest[m]} ELSE stale
  /\ UNCHANGED <<log, highest, slow>>

Crash ==
  /\ taken' = [rows |-> rows, held |-> held, position |-> position, whole |-> ~Rule("RuleWholeFromTheEnd")]
  /\ taken' # taken
  /\ UNCHANGED <<log, highest, slow, catalogue, stale>>

Next == OwnerWrites \/ SlowWriterWrites \/ Compact \/ Take \/ Commit \/ Crash

Spec == Init /\ [][Next]_vars

------------------------------------------------------------------------------
(* A movie's as_of never goes back.                                           *)
Monotone == [][\A m \in Movies : rows'[m] >= rows[m]]_vars

(* A catalogue whose watermark is at p has every mean up to p; but for movies whose newest record is a    *)
(* slower writer's that the owner has not mended yet, at the moment that the watermark moves or when the  *)
(* sink was at the end last.                                                                              *)
WatermarkIsSound ==
  [][mark' # mark => \A m \in Movies : rows'[m] >= AsOf(mark', m) \/ Newest(m) < highest[m] \/ m \in stale]_vars

(* The same with no exception: holds where no writer is slower than another (SlowMax = 0).                *)
WatermarkIsAlwaysSound == \A m \in Movies : rows[m] >= AsOf(mark, m)

(* When the owner has nothing left to do (Owner.tla) and the sink has read it all, the catalogue is the   *)
(* batch recomputation, and says so.                                                                      *)
OwnerIsDone == Newest("shard") = End /\ \A m \in Movies : Newest(m) = AsOf(End, m)
SinkIsDone == position = Len(log) /\ ~Uncommitted /\ ~ENABLED Commit
CatalogueIsRight ==
  OwnerIsDone /\ SinkIsDone => mark = End /\ \A m \in Movies : rows[m] = AsOf(End, m)
=============================================================================
