----------------------------- MODULE Checkpoint -----------------------------
(* The state of one shard and its checkpoints: what a member restores, whoever wrote it.                  *)
(*                                                                                                        *)
(* Several members believe at the same time that they own the shard, each crashes at any step and gains   *)
(* the shard again with nothing but what the broker holds. What a member publishes reaches the broker     *)
(* part by part; a crash loses the rest. The log of `ratings` (Feed) has a repeat and a late number, as   *)
(* Producer.tla and Live.tla leave them. Means and watermarks of the same members: Owner.tla.             *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Off,            \* the rule that is taken out; "none"
  Feed,           \* the log of `ratings`: sequence of [movie, sequence], the offset is the index
  Members,
  GainsMax,       \* of the shard, together
  CheckpointsMax  \* together

VARIABLES
  parts,        \* `mean-ratings-checkpoints`: the parts that are there
  members,
  gains,
  checkpoints,  \* begun so far
  log,          \* which log of `ratings` is there: 0, or 1 after the broker lost that
  kept          \* the highest offset of which there has ever been a complete checkpoint

vars == <<parts, members, gains, checkpoints, log, kept>>

(* Feeds to choose from in the configuration.                                                             *)
SmallFeed == <<[movie |-> "x", sequence |-> 1], [movie |-> "x", sequence |-> 1], [movie |-> "x", sequence |-> 2]>>
LargeFeed == <<[movie |-> "x", sequence |-> 1], [movie |-> "y", sequence |-> 3], [movie |-> "x", sequence |-> 1],
               [movie |-> "x", sequence |-> 2]>>

Rule(rule) == Off # rule
(* The log that takes the place of a lost one holds other messages at the same offsets.                   *)
Log == IF log = 0 THEN Feed ELSE [i \in 1..Len(Feed) |-> Feed[Len(Feed) + 1 - i]]
End == Len(Feed)
Movies == {Feed[i].movie : i \in 1..End}
MaxOf(set) == CHOOSE x \in set : \A y \in set : y <= x

------------------------------------------------------------------------------
(* State is a function of the log.                                            *)

Empty == [as_of |-> [m \in Movies |-> 0], count |-> [m \in Movies |-> 0], seen |-> {}]

Apply(state, offset, dedup) ==
  LET message == Log[offset] IN
  IF dedup /\ message.sequence \in state.seen THEN state
  ELSE [as_of |-> [state.as_of EXCEPT ![message.movie] = offset],
        count |-> [state.count EXCEPT ![message.movie] = @ + 1],
        seen  |-> state.seen \cup {message.sequence}]

(* The batch recomputation over the log up to n.                                                          *)
Earlier(n) == 1..(n - 1)
FirstOf(n) == \A i \in Earlier(n) : Log[i].sequence # Log[n].sequence
Counted(n, m) == {i \in 1..n : Log[i].movie = m /\ FirstOf(i)}
Truth(n) == [as_of |-> [m \in Movies |-> IF Counted(n, m) = {} THEN 0 ELSE MaxOf(Counted(n, m))],
             count |-> [m \in Movies |-> Cardinality(Counted(n, m))],
             seen  |-> {Log[i].sequence : i \in 1..n}]

------------------------------------------------------------------------------
(* A part: [nonce, part, next, content, digest, last]; `digest` is of the     *)
(* whole; `last` stands for the log's identity and the digest of the last record read.                    *)

PartNumbers == {1, 2}
Content(state, part) == IF part = 1 THEN [as_of |-> state.as_of, count |-> state.count] ELSE [seen |-> state.seen]
PartsOf(nonce, next, state) ==
  {[nonce |-> nonce, part |-> k, next |-> next, content |-> Content(state, k), digest |-> state, last |-> log] : k \in PartNumbers}

(* Without a nonce in the key, a part overwrites the same part of another checkpoint.                     *)
SameKey(a, b) == a.part = b.part /\ (Rule("RuleCheckpointNonce") => a.nonce = b.nonce)

(* All parts of the checkpoint of p are there and have one digest.                                        *)
IsComplete(set, p) == \A k \in PartNumbers : \E q \in set : q.nonce = p.nonce /\ q.part = k /\ q.digest = p.digest
NextOf(set) == IF set = {} THEN 0 ELSE MaxOf({p.next : p \in set})
Best(set) == NextOf({p \in set : IsComplete(set, p)})
Usable == IF Rule("RuleWholeCheckpoint") THEN {p \in parts : IsComplete(parts, p)} ELSE parts

(* What a reader puts together: that of the highest offset.                                               *)
Assembled(p) ==
  LET of(k) == {q \in parts : q.nonce = p.nonce /\ q.part = k}
      known == IF of(1) = {} THEN Empty ELSE (CHOOSE q \in of(1) : TRUE).content
      seen == IF of(2) = {} \/ ~Rule("RuleIntervalsInState") THEN {} ELSE (CHOOSE q \in of(2) : TRUE).content.seen
  IN [as_of |-> known.as_of, count |-> known.count, seen |-> seen]

------------------------------------------------------------------------------
Down == [pc |-> "down", state |-> Empty, next |-> 0, unsent |-> {}, nonce |-> 0]

Init == parts = {} /\ gains = 0 /\ log = 0 /\ checkpoints = 0 /\ kept = 0 /\ members = [i \in Members |-> Down]

Gain(i) ==
  /\ members[i].pc = "down" /\ gains < GainsMax
  /\ gains' = gains + 1
  /\ IF Usable = {} THEN members' = [members EXCEPT ![i].pc = "run"]
     ELSE \E p \in {q \in Usable : q.next = NextOf(Usable)} :
            /\ Rule("RuleVerifyLog") => p.last = log  \* an error for a person otherwise
            /\ members' = [members EXCEPT ![i] = [Down EXCEPT !.pc = "run", !.state = Assembled(p), !.next = p.next]]
  /\ UNCHANGED <<parts, checkpoints, log, kept>>

ReadRating(i) ==
  LET o == members[i] IN
  /\ o.pc = "run" /\ o.next < End
  /\ members' = [members EXCEPT ![i].state = Apply(o.state, o.next + 1, Rule("RuleDedup")), ![i].next = o.next + 1]
  /\ UNCHANGED <<parts, gains, checkpoints, log, kept>>

BeginCheckpoint(i) ==
  LET o == members[i] IN
  /\ o.pc = "run" /\ checkpoints < CheckpointsMax /\ o.next > 0
  /\ checkpoints' = checkpoints + 1
  /\ members' = [members EXCEPT ![i].pc = "publish", ![i].nonce = checkpoints + 1,
                                ![i].unsent = PartsOf(checkpoints + 1, o.next, o.state)]
  /\ UNCHANGED <<parts, gains, log, kept>>

Keep(set) == kept' = MaxOf({kept, Best(set)})

StorePart(i) ==
  LET o == members[i] IN
  /\ o.pc = "publish"
  /\ \E p \in o.unsent :
       LET after == {q \in parts : ~SameKey(p, q)} \cup {p} IN
       /\ parts' = after
       /\ Keep(after)
       /\ members' = [members EXCEPT ![i].unsent = o.unsent \ {p}]
  /\ UNCHANGED <<gains, checkpoints, log>>

(* A writer that has read its own back complete deletes those with a lower offset; the deletions arrive   *)
(* in part where it crashes.                                                                              *)
DeleteOld(i) ==
  LET o == members[i]
      below == IF Rule("RuleDeleteAfterReadBack") THEN Best(parts) ELSE o.next
  IN
  /\ o.pc = "publish"
  /\ Rule("RuleDeleteAfterReadBack") => o.unsent = {}
  /\ \E gone \in SUBSET {p \in parts : p.next < below} :
       /\ parts' = parts \ gone
       /\ Keep(parts \ gone)
  /\ members' = [members EXCEPT ![i] = IF o.unsent = {} THEN [o EXCEPT !.pc = "run", !.nonce = 0]
                                       ELSE [o EXCEPT !.pc = "publish"]]
  /\ UNCHANGED <<gains, checkpoints, log>>

Crash(i) ==
  /\ members[i].pc # "down"
  /\ members' = [members EXCEPT ![i] = Down]
  /\ UNCHANGED <<parts, gains, checkpoints, log, kept>>

(* The broker loses the log, or somebody deletes it; who reads it gets an error and ends.                 *)
LoseLog ==
  /\ log = 0 /\ log' = 1
  /\ members' = [i \in Members |-> Down]
  /\ UNCHANGED <<parts, gains, checkpoints, kept>>

Next == LoseLog \/ \E i \in Members : \/ Gain(i) \/ ReadRating(i) \/ BeginCheckpoint(i) \/ StorePart(i)
                                      \/ DeleteOld(i) \/ Crash(i)

Spec == Init /\ [][Next]_vars
Symmetry == Permutations(Members)

------------------------------------------------------------------------------
(* What a member has, restored or computed, is the batch recomputation up to the same offset.             *)
StateIsAFunctionOfTheLog ==
  \A i \in Members : members[i].pc # "down" => members[i].state = Truth(members[i].next)

(* Once there was a complete checkpoint, there is always one that is as far or further.                   *)
CheckpointIsNeverLost == Best(parts) >= kept
=============================================================================
