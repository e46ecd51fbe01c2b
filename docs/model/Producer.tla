------------------------------ MODULE Producer ------------------------------
(* Producers of one source whose input can be read again (a file): claims, intents, resuming.            *)
(*                                                                                                        *)
(* Processes start, crash at any step and start again, some at a time, which all believe that they are    *)
(* the producer of the source: a restart, the zombie it replaces, a twin. The input may be replaced by an *)
(* edited one; a process reads the one that it found when it started. `sources` is compacted at any       *)
(* moment. One shard, every row a rating: a row's number is its sequence.                                 *)
(*                                                                                                        *)
(* A process that is paused, wakes up, writes and dies is also the record that reaches the broker long    *)
(* after its writer died. The receivers drop repeats (Owner.tla), so `ratings` is a set here.             *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Off,        \* the rule that is taken out; "none"
  Rows,       \* of the input
  Slots,      \* processes that live at the same time
  StartsMax,  \* starts of processes, together
  EditsMax,   \* edits of the input
  WindowMax   \* rows from one intent to the next, at most

VARIABLES
  input,    \* the file: what is in each row
  edits,
  sources,  \* the topic `sources`: the newest record of each key
  end,      \* its next offset
  ratings,  \* the durable messages of `ratings`
  procs,
  starts

vars == <<input, edits, sources, end, ratings, procs, starts>>

Rule(rule) == Off # rule
Max(set) == CHOOSE x \in set : \A y \in set : y <= x
Min(a, b) == IF a < b THEN a ELSE b
Prefix(file, n) == IF n <= Len(file) THEN SubSeq(file, 1, n) ELSE <<>>

Down == [pc |-> "down", id |-> 0, file |-> <<>>, inc |-> 0, claim |-> 0, done |-> 0, intended |-> 0]

Init ==
  /\ input = [i \in 1..Rows |-> "a"]
  /\ edits = 0
  /\ sources = {}
  /\ end = 1
  /\ ratings = {}
  /\ procs = [s \in Slots |-> Down]
  /\ starts = 0

------------------------------------------------------------------------------
(* The topic `sources`.                                                       *)

SameKey(a, b) == a.inc = b.inc /\ (Rule("RuleWriterNonce") => a.writer = b.writer)

(* `first` is the offset of the key's first record: compaction may have taken that one or not. A record   *)
(* that repeats the offset of its claim (`claim`, 0: it does not) makes that the same.                     *)
Write(p, done, intended) ==
  LET new == [inc |-> p.inc, writer |-> p.id, first |-> end, last |-> end, done |-> done, intended |-> intended,
              claim |-> IF Rule("RuleClaimOffset") THEN p.claim ELSE 0, digest |-> Prefix(p.file, intended)]
      old == {r \in sources : SameKey(r, new)}
      first == IF old = {} THEN end ELSE (CHOOSE r \in old : TRUE).first
      claim == IF new.claim = 0 /\ old = {} /\ Rule("RuleClaimOffset") THEN end ELSE new.claim
  IN /\ sources' = (sources \ old) \cup {[new EXCEPT !.first = IF claim = 0 THEN first ELSE claim,
                                                     !.last = IF claim = 0 THEN end ELSE claim, !.claim = claim]}
     /\ end' = IF claim \in {0, end} THEN end + 1 ELSE end

(* Of the claims the one with the lowest offset holds, as a reader finds it before or after compaction.   *)
OpenClaims ==
  {r \in sources : \A q \in sources : r.first <= q.first} \cup
  {r \in sources : \A q \in sources : r.last <= q.last}

OfIncarnation(i) == {r \in sources : r.inc = i}
IsClaimed(file, records) == \A r \in records : Prefix(file, r.intended) = r.digest

(* The process goes on in incarnation i from what is done, where the input is the one that was claimed.   *)
Enter(p, i, claim) ==
  LET records == OfIncarnation(i) IN
  IF Rule("RuleVerifyAtStart") => IsClaimed(p.file, records)
  THEN [p EXCEPT !.pc = "run", !.inc = i, !.claim = claim, !.done = Max({r.done : r \in records}),
                 !.intended = Max({r.intended : r \in records})]
  ELSE Down  \* refuses to start

------------------------------------------------------------------------------
Start(s) ==
  /\ procs[s].pc = "down" /\ starts < StartsMax
  /\ starts' = starts + 1
  /\ LET p == [Down EXCEPT !.id = starts + 1, !.file = input] IN
     CASE ~Rule("RuleClaim") -> procs' = [procs EXCEPT ![s] = [p EXCEPT !.pc = "run", !.inc = p.id]]
       [] sources = {} -> procs' = [procs EXCEPT ![s] = [p EXCEPT !.pc = "claim", !.inc = p.id]]
       [] OTHER -> \E r \in OpenClaims : procs' = [procs EXCEPT ![s] = Enter(p, r.inc, r.first)]
  /\ UNCHANGED <<input, edits, sources, end, ratings>>

(* A claim is an intent at once.                                                                          *)
Claim(s) ==
  LET p == procs[s] IN
  /\ p.pc = "claim"
  /\ \E window \in 1..WindowMax : Write(p, 0, Min(window, Len(p.file)))
  /\ procs' = [procs EXCEPT ![s].pc = "claimed"]
  /\ UNCHANGED <<input, edits, ratings, starts>>

ReadBackClaim(s) ==
  LET p == procs[s] IN
  /\ p.pc = "claimed"
  /\ \E r \in IF Rule("RuleReadBackClaim") THEN OpenClaims ELSE OfIncarnation(p.inc) :
       procs' = [procs EXCEPT ![s] = Enter(p, r.inc, r.first)]
  /\ UNCHANGED <<input, edits, sources, end, ratings, starts>>

(* The rows that the process publishes now. They are durable after a flush; without one, any part of them *)
(* is, which is what a crash shows.                                                                       *)
Published(p) == p.done + 1 .. IF Rule("RuleIntent") THEN p.intended ELSE Len(p.file)
Stored(p, rows) == {[inc |-> p.inc, sequence |-> i, value |-> p.file[i]] : i \in rows}
Flush(p) == ratings' = IF Rule("RuleDoneAfterFlush") THEN ratings \cup Stored(p, Published(p)) ELSE ratings

(* What was intended is published and flushed; one record says that it is done and what is intended next. *)
Intend(s) ==
  LET p == procs[s] IN
  /\ p.pc = "run" /\ p.intended < Len(p.file)
  /\ Flush(p)
  /\ \E window \in 1..WindowMax :
       LET until == Min(p.intended + window, Len(p.file)) IN
       /\ Write(p, p.intended, until)
       /\ procs' = [procs EXCEPT ![s].pc = "intended", ![s].done = p.intended, ![s].intended = until]
  /\ UNCHANGED <<input, edits, starts>>

(* What any other producer intends of the incarnation has to be what this one reads.                      *)
VerifyIntents(s) ==
  LET p == procs[s] IN
  /\ p.pc = "intended"
  /\ procs' = [procs EXCEPT ![s] =
       IF Rule("RuleVerifyAfterIntent") => IsClaimed(p.file, OfIncarnation(p.inc))
       THEN [p EXCEPT !.pc = "run"] ELSE Down]
  /\ UNCHANGED <<input, edits, sources, end, ratings, starts>>

Finish(s) ==
  LET p == procs[s] IN
  /\ p.pc = "run" /\ p.intended = Len(p.file)
  /\ Flush(p)
  /\ Write(p, p.intended, p.intended)
  /\ procs' = [procs EXCEPT ![s] = [Down EXCEPT !.pc = "finished", !.file = p.file]]
  /\ UNCHANGED <<input, edits, starts>>

(* Any part of what was published and not flushed is there.                                               *)
Crash(s) ==
  LET p == procs[s] IN
  /\ p.pc \in {"claim", "claimed", "intended", "run"}
  /\ \E rows \in IF p.pc = "run" THEN SUBSET Published(p) ELSE {{}} : ratings' = ratings \cup Stored(p, rows)
  /\ procs' = [procs EXCEPT ![s] = Down]
  /\ UNCHANGED <<input, edits, sources, end, starts>>

Edit ==
  /\ edits < EditsMax
  /\ edits' = edits + 1
  /\ \E i \in 1..Len(input) : input' = [input EXCEPT ![i] = "b"]
  /\ UNCHANGED <<sources, end, ratings, procs, starts>>

Next ==
  \/ \E s \in Slots : \/ Start(s) \/ Claim(s) \/ ReadBackClaim(s) \/ Intend(s) \/ VerifyIntents(s)
                      \/ Finish(s) \/ Crash(s)
  \/ Edit

Spec == Init /\ [][Next]_vars
Symmetry == Permutations(Slots)

------------------------------------------------------------------------------
(* What was published under a stamp is always the same rating.                *)
OneStampOneRating ==
  \A a, b \in ratings : a.inc = b.inc /\ a.sequence = b.sequence => a.value = b.value

(* What `sources` says is done is there.                                      *)
DoneIsDurable ==
  \A r \in sources : \A i \in 1..r.done : \E m \in ratings : m.inc = r.inc /\ m.sequence = i

(* When a producer has finished, each row of its input counts, once, and nothing else does.               *)
EachRowOnce ==
  \A s \in Slots : procs[s].pc = "finished" =>
    /\ Cardinality(ratings) = Len(procs[s].file)
    /\ \A i \in 1..Len(procs[s].file) :
         \E r \in ratings : r.sequence = i /\ r.value = procs[s].file[i]
=============================================================================
