-------------------------------- MODULE Live --------------------------------
(* Producers of one source that cannot be read again (HTTP): incarnations, acknowledgements, keys.        *)
(*                                                                                                        *)
(* Clients send a request, and again for want of an answer, to whichever process is there; processes of   *)
(* one source start, crash at any step and start again, also two at a time. What is published reaches the *)
(* shard record by record; of what was not flushed any part is there after a crash.                       *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Off,       \* the rule that is taken out; "none"
  Requests,  \* of one rating each
  SendsMax,  \* of a request
  Slots,     \* processes that live at the same time
  StartsMax, \* starts of processes, together
  FailsMax   \* flushes that fail and leave the process alive, together

VARIABLES
  log,     \* the shard of `ratings`: sequence of [inc, sequence, through, request]; through: flushed_through
  claims,  \* ordinals in `sources`
  procs,
  starts,
  fails,
  sent,    \* how often each request was sent
  acked    \* the requests whose clients have an answer

vars == <<log, claims, procs, starts, fails, sent, acked>>

Rule(rule) == Off # rule
Down == [pc |-> "down", inc |-> <<0, 0>>, next |-> 1, through |-> 0, unsent |-> {}, asking |-> {}]

Init ==
  /\ log = <<>> /\ claims = {0} /\ starts = 0 /\ fails = 0 /\ acked = {}
  /\ procs = [s \in Slots |-> Down]
  /\ sent = [r \in Requests |-> 0]

(* A number above all claimed before, with random low bits: the process's own.                            *)
Start(s) ==
  /\ procs[s].pc = "down" /\ starts < StartsMax
  /\ starts' = starts + 1
  /\ LET ordinal == IF Rule("RuleNewIncarnation") THEN 1 + (CHOOSE c \in claims : \A d \in claims : d <= c) ELSE 1
         random == IF Rule("RuleRandomBits") /\ Rule("RuleNewIncarnation") THEN starts + 1 ELSE 0
     IN procs' = [procs EXCEPT ![s] = [Down EXCEPT !.pc = "claim", !.inc = <<ordinal, random>>]]
  /\ UNCHANGED <<log, claims, fails, sent, acked>>

Claim(s) ==
  /\ procs[s].pc = "claim"
  /\ claims' = claims \cup {procs[s].inc[1]}
  /\ procs' = [procs EXCEPT ![s].pc = "run"]
  /\ UNCHANGED <<log, starts, fails, sent, acked>>

(* A client sends its request, and the process publishes it.                                              *)
Post(s, r) ==
  LET p == procs[s]
      message == [inc |-> p.inc, sequence |-> p.next, through |-> p.through, request |-> r]
  IN
  /\ p.pc = "run" /\ r \notin acked /\ sent[r] < SendsMax
  /\ sent' = [sent EXCEPT ![r] = @ + 1]
  /\ procs' = [procs EXCEPT ![s].next = p.next + 1, ![s].unsent = @ \cup {message},
                            ![s].asking = IF Rule("RuleAckAfterFlush") THEN @ \cup {r} ELSE @]
  /\ acked' = IF Rule("RuleAckAfterFlush") THEN acked ELSE acked \cup {r}
  /\ UNCHANGED <<log, claims, starts, fails>>

(* Messages of one publisher with the same key keep their order; with others it may change.               *)
Store(s) ==
  /\ \E message \in procs[s].unsent :
       /\ log' = Append(log, message)
       /\ procs' = [procs EXCEPT ![s].unsent = @ \ {message}]
  /\ UNCHANGED <<claims, starts, fails, sent, acked>>

Flush(s) ==
  LET p == procs[s] IN
  /\ p.pc = "run" /\ p.unsent = {} /\ p.through < p.next - 1
  /\ procs' = [procs EXCEPT ![s].through = p.next - 1, ![s].asking = {}]
  /\ acked' = acked \cup p.asking
  /\ UNCHANGED <<log, claims, starts, fails, sent>>

(* What was published since the last flush may be there or not. The process publishes the same messages   *)
(* again, all of them; or it ends, and its incarnation with it (Crash).                                   *)
FlushFails(s) ==
  LET p == procs[s] IN
  /\ p.pc = "run" /\ p.unsent # {} /\ fails < FailsMax
  /\ fails' = fails + 1
  /\ procs' = [procs EXCEPT ![s].unsent = IF Rule("RuleSameMessageAgain") THEN @ ELSE {},
                            ![s].asking = IF Rule("RuleSameMessageAgain") THEN @ ELSE {}]
  /\ UNCHANGED <<log, claims, starts, sent, acked>>

Crash(s) ==
  /\ procs[s].pc # "down"
  /\ procs' = [procs EXCEPT ![s] = Down]
  /\ UNCHANGED <<log, claims, starts, fails, sent, acked>>

Next ==
  \E s \in Slots : \/ Start(s) \/ Claim(s) \/ Store(s) \/ Flush(s) \/ FlushFails(s) \/ Crash(s)
                   \/ \E r \in Requests : Post(s, r)

Spec == Init /\ [][Next]_vars
Symmetry == Permutations(Slots) \cup Permutations(Requests)

------------------------------------------------------------------------------
(* What the owner of the shard makes of the log.                              *)

Fresh(i) == \A j \in 1..(i - 1) : <<log[j].inc, log[j].sequence>> # <<log[i].inc, log[i].sequence>>
Repeated(i) == \E j \in 1..(i - 1) : log[j].request = log[i].request /\ Fresh(j)
Counted(r) == Cardinality({i \in 1..Len(log) : log[i].request = r /\ Fresh(i) /\
                                               (Rule("RuleIdempotencyKey") => ~Repeated(i))})
(* A dropped repeat of a request enters the intervals.                                                    *)
Accepted(inc) == {log[i].sequence : i \in {j \in 1..Len(log) :
                    log[j].inc = inc /\ (Rule("RuleRepeatIsAccepted") \/ ~Repeated(j))}}

AcknowledgedCounts == \A r \in acked : Counted(r) >= 1
CountsOnce == \A r \in Requests : Counted(r) <= 1

(* No number at or below a flushed_through is missing: the audit reports no loss where there is none.      *)
NoFalseLoss == \A i \in 1..Len(log) : \A n \in 1..log[i].through : n \in Accepted(log[i].inc)
=============================================================================
