------------------------------- MODULE Owner -------------------------------
(* Owners of one shard: which means and watermarks they publish.                                          *)
(*                                                                                                        *)
(* Several members believe at the same time that they own the shard, each crashes at any step and gains   *)
(* the shard again. A member's state is that of the log up to an offset (Checkpoint.tla), so the offset   *)
(* says it all. What a member publishes reaches the broker record by record, in any order; a crash loses  *)
(* the rest.                                                                                              *)
(*                                                                                                        *)
(* Of `mean-ratings` only what its records said last and at most, by key, is kept here: the first is what *)
(* compaction keeps, at any moment; nothing else can be relied on. A member that has read a part of what  *)
(* is new is one that read all of it earlier (Observe).                                                   *)
EXTENDS Naturals, Sequences, TLC

CONSTANTS
  Off,      \* the rule that is taken out; "none"
  Feed,     \* the log of `ratings`: the movie of each message; the offset is the index
  Members,
  GainsMax  \* of the shard, together

VARIABLES
  newest,   \* of each key of `mean-ratings` the newest record by offset: a mean's as_of, a watermark's offset
  highest,  \* of each key the highest that was ever there
  members,
  gains,
  covered   \* the offset of the newest checkpoint

vars == <<newest, highest, members, gains, covered>>

(* Feeds to choose from in the configuration.                                                             *)
SmallFeed == <<"x", "x">>
LargeFeed == <<"x", "y", "x">>

Rule(rule) == Off # rule
End == Len(Feed)
Movies == {Feed[i] : i \in 1..End}
Keys == Movies \cup {"shard"}  \* the watermark is a key as the movies are
None == [k \in Keys |-> 0]
Max(a, b) == IF a > b THEN a ELSE b

(* The as_of of a movie in the state up to n.                                                             *)
AsOf(n, m) == LET of == {i \in 1..n : Feed[i] = m}
              IN IF of = {} THEN 0 ELSE CHOOSE i \in of : \A j \in of : j <= i

------------------------------------------------------------------------------
(* A member. `known`: of each key what its newest record says, as far as it has read; `flight`: what it   *)
(* published itself and has not read beyond yet (0: nothing).                                             *)

Down == [pc |-> "down", next |-> 0, known |-> None, flight |-> None, unsent |-> {}]

Init ==
  /\ newest = None /\ highest = None /\ covered = 0 /\ gains = 0
  /\ members = [i \in Members |-> Down]

(* What counts is the record that is newest by offset, not the highest: compaction keeps that one.        *)
ByOffset(key) == Rule(IF key = "shard" THEN "RuleNewestWatermark" ELSE "RuleNewestByOffset")
Read(known) == [k \in Keys |-> IF ByOffset(k) THEN newest[k] ELSE Max(known[k], newest[k])]

(* The one rule: a key is due when its newest record is lower than the state.                             *)
Wanted(o, key) == IF key = "shard" THEN o.next ELSE AsOf(o.next, key)
IsDue(o, key) == (IF o.flight[key] > 0 THEN o.flight[key] ELSE o.known[key]) < Wanted(o, key)
DueMovies(o) == {m \in Movies : IsDue(o, m)}

(* From the newest checkpoint, or from the log's beginning where it was not found.                        *)
Gain(i) ==
  /\ members[i].pc = "down" /\ gains < GainsMax
  /\ gains' = gains + 1
  /\ \E next \in {0, covered} :
       members' = [members EXCEPT ![i] = [Down EXCEPT !.pc = "run", !.next = next, !.known = Read(None)]]
  /\ UNCHANGED <<newest, highest, covered>>

ReadRating(i) ==
  /\ members[i].pc = "run" /\ members[i].next < End
  /\ members' = [members EXCEPT ![i].next = @ + 1]
  /\ UNCHANGED <<newest, highest, gains, covered>>

(* What was in flight counts by what was read, once the flush has returned and the log was read beyond.   *)
Observe(i) ==
  /\ members[i].pc \in {"run", "flush"}
  /\ members' = [members EXCEPT ![i].known = Read(@), ![i].flight = IF members[i].pc = "run" THEN None ELSE @]
  /\ UNCHANGED <<newest, highest, gains, covered>>

Publish(i, keys) ==
  LET o == members[i] IN
  members' = [members EXCEPT ![i] =
    [o EXCEPT !.pc = "flush", !.unsent = {[key |-> k, says |-> Wanted(o, k)] : k \in keys},
              !.flight = [k \in Keys |-> IF k \in keys THEN Wanted(o, k) ELSE @[k]]]]

PublishMeans(i) ==
  LET o == members[i] IN
  /\ o.pc = "run" /\ DueMovies(o) # {}
  /\ Publish(i, DueMovies(o) \cup IF Rule("RuleWatermarkAfterFlush") THEN {} ELSE {"shard"})
  /\ UNCHANGED <<newest, highest, gains, covered>>

(* It also moves when no mean changed.                                                                    *)
PublishWatermark(i) ==
  LET o == members[i] IN
  /\ o.pc = "run" /\ DueMovies(o) = {} /\ IsDue(o, "shard")
  /\ Publish(i, {"shard"})
  /\ UNCHANGED <<newest, highest, gains, covered>>

(* Of what a member has published one record is stored; with the last one the flush returns.              *)
Store(i) ==
  /\ members[i].pc = "flush"
  /\ \E r \in members[i].unsent :
       /\ newest' = [newest EXCEPT ![r.key] = r.says]
       /\ highest' = [highest EXCEPT ![r.key] = Max(@, r.says)]
       /\ members' = [members EXCEPT ![i].unsent = @ \ {r}, ![i].pc = IF members[i].unsent = {r} THEN "run" ELSE @]
  /\ UNCHANGED <<gains, covered>>

WriteCheckpoint(i) ==
  LET o == members[i] IN
  /\ o.pc = "run" /\ o.next > covered
  /\ Rule("RuleMeansBeforeCheckpoint") => DueMovies(o) = {}
  /\ covered' = o.next
  /\ UNCHANGED <<newest, highest, members, gains>>

Crash(i) ==
  /\ members[i].pc # "down"
  /\ members' = [members EXCEPT ![i] = Down]
  /\ UNCHANGED <<newest, highest, gains, covered>>

Next == \E i \in Members :
  \/ Gain(i) \/ ReadRating(i) \/ Observe(i) \/ PublishMeans(i) \/ Store(i) \/ PublishWatermark(i)
  \/ WriteCheckpoint(i) \/ Crash(i)

Spec == Init /\ [][Next]_vars
Symmetry == Permutations(Members)

------------------------------------------------------------------------------
(* Before a watermark lies every mean that it stands for: what Sink.tla assumes.                          *)
WatermarkAfterItsMeans == \A m \in Movies : highest[m] >= AsOf(highest["shard"], m)

CheckpointAfterItsMeans == \A m \in Movies : highest[m] >= AsOf(covered, m)

(* A member that has nothing left to do leaves of each key the right record as the newest, whatever a     *)
(* slower writer did and whatever compaction keeps.                                                       *)
NothingLeft(o) == /\ o.pc = "run" /\ o.next = End /\ o.known = Read(o.known) /\ o.flight = None
                  /\ ~\E k \in Keys : IsDue(o, k)
NewestMeanIsRight == (\E i \in Members : NothingLeft(members[i])) => \A m \in Movies : newest[m] = AsOf(End, m)
NewestWatermarkIsRight == (\E i \in Members : NothingLeft(members[i])) => newest["shard"] = End
=============================================================================
