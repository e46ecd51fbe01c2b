------------------------------ MODULE Placement ------------------------------
(* Which shard a movie is in: the settings that are recorded once, and what is published elsewhere.       *)
(*                                                                                                        *)
(* Two services start at once with different numbers of shards; a foreign publisher may name any shard.   *)
(* There is one movie. Its owner counts, in each shard, and a catalogue takes the mean with the highest   *)
(* as_of. The rest of the protocol is in the other modules: nothing crashes here.                         *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Off,        \* the rule that is taken out; "none"
  Wishes,     \* the number of shards that each service is told: a sequence
  ForeignMax  \* messages of a foreign publisher

VARIABLES
  settings,  \* the topic: sequence of [writer, shards]
  service,   \* of each: "start", "wrote", "run", "refused"
  shards,    \* of each: what it goes by
  log,       \* of each shard of `ratings`: a sequence of publishers
  foreign

TwoWishes == <<1, 2>>
vars == <<settings, service, shards, log, foreign>>
Rule(rule) == Off # rule
Services == 1..Len(Wishes)
Most == CHOOSE n \in {Wishes[s] : s \in Services} : \A s \in Services : Wishes[s] <= n

(* The movie's shard where there are n: murmur2(key) modulo n, of a key for which these differ.            *)
Home(n) == n - 1

Init ==
  /\ settings = <<>> /\ foreign = 0
  /\ service = [s \in Services |-> "start"] /\ shards = [s \in Services |-> 0]
  /\ log = [i \in 0..Most - 1 |-> <<>>]

(* A service goes by what is recorded, and refuses where its own wish differs.                            *)
Adopt(s, recorded) ==
  /\ service' = [service EXCEPT ![s] = IF recorded = Wishes[s] THEN "run" ELSE "refused"]
  /\ shards' = [shards EXCEPT ![s] = recorded]

Look(s) ==
  /\ service[s] = "start"
  /\ IF settings = <<>> THEN service' = [service EXCEPT ![s] = "writes"] /\ UNCHANGED shards
     ELSE Adopt(s, settings[1].shards)
  /\ UNCHANGED <<settings, log, foreign>>

(* Under one key for all, a record takes the place of the one before.                                     *)
Write(s) ==
  /\ service[s] = "writes"
  /\ LET record == [writer |-> s, shards |-> Wishes[s]]
     IN settings' = IF Rule("RuleFirstSettingsHold") THEN Append(settings, record) ELSE <<record>>
  /\ service' = [service EXCEPT ![s] = "wrote"]
  /\ UNCHANGED <<shards, log, foreign>>

ReadBack(s) ==
  /\ service[s] = "wrote"
  /\ Adopt(s, settings[1].shards)
  /\ UNCHANGED <<settings, log, foreign>>

Publish(s) ==
  /\ service[s] = "run"
  /\ \A i \in DOMAIN log : \A k \in 1..Len(log[i]) : log[i][k] # s
  /\ log' = [log EXCEPT ![Home(shards[s])] = Append(@, s)]
  /\ UNCHANGED <<settings, service, shards, foreign>>

PublishElsewhere ==
  /\ foreign < ForeignMax /\ \E s \in Services : service[s] = "run"
  /\ foreign' = foreign + 1
  /\ \E i \in DOMAIN log : log' = [log EXCEPT ![i] = Append(@, 0)]
  /\ UNCHANGED <<settings, service, shards>>

Next == PublishElsewhere \/ \E s \in Services : Look(s) \/ Write(s) \/ ReadBack(s) \/ Publish(s)
Spec == Init /\ [][Next]_vars

------------------------------------------------------------------------------
(* An owner that goes by n shards sends a message whose shard is not its movie's to the dead letters.     *)
Running == {s \in Services : service[s] = "run"}
Counted(i) == IF Rule("RuleOnlyItsShard") /\ (\A s \in Running : Home(shards[s]) # i) THEN 0 ELSE Len(log[i])
Accepted == Counted(0) + IF 1 \in DOMAIN log THEN Counted(1) ELSE 0

(* Each owner publishes the mean of its shard; the catalogue takes that with the highest as_of.           *)
Means == {i \in DOMAIN log : Counted(i) > 0}
Stored == {i \in Means : \A j \in Means : Len(log[j]) <= Len(log[i])}
CatalogueIsRight == \A i \in Stored : Counted(i) = Accepted

OneNumberOfShards == \A s, t \in Running : shards[s] = shards[t]
=============================================================================
