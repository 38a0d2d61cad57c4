/*
 * The lease protocol of revocation: one server, NV verifiers, a clock that only they read differently.
 *
 * Promise: once a revocation is complete, no verifier allows what it stopped. Every name maps to code in README.md.
 * Time is a tick of the world; each timer counts the ticks that are left, with the drift of its own clock worked in
 * (V_LIFE, S_WAIT). Nothing is fair or urgent here: each step may come at any time or never, so that loss, delay,
 * crashes and standing still are all in it. Switches: NO_* and other mutations remove one rule each and must fail;
 * REACH_* ask whether something can happen at all.
 */

#ifndef NV
#define NV 1        /* verifiers */
#endif
#ifndef NE
#define NE 2        /* revocations, which is the highest epoch */
#endif
#ifndef NA
#define NA 2        /* agents that are revoked */
#endif
#ifndef K
#define K 2         /* beats on their way, per connection */
#endif
#ifndef T
#define T 2         /* ticks a lease, on a true clock */
#endif
#ifndef MARGIN
#define MARGIN 105  /* what the server waits, in percent of a lease: DRIFT_FACTOR */
#endif
#ifndef DRIFT
#define DRIFT 2     /* percent that a clock may be wrong */
#endif
#ifdef NO_DRIFT_MARGIN
#undef MARGIN
#define MARGIN 100
#endif

/* The worst clocks: a verifier's that is slow, a server's that is fast. Exact: elapsed * rate is compared in percent. */
#define CEIL(a, b) (((a) + (b) - 1) / (b))
#define V_LIFE CEIL(100 * T, 100 - DRIFT)      /* ticks from sending a nonce until the verifier calls the lease over */
#define S_WAIT CEIL(MARGIN * T, 100 + DRIFT)   /* ticks from an echo until the server calls it over */

#define SLOTS 2                  /* connections of one verifier that the server may hold at once: an old and a new one */
#define LEASES (NV * 3)          /* at the server: the slots of each verifier, and its closed leases together */
#define OF(v, s) ((v) * 3 + (s))
#define CLOSED 2
#define LINK(v, s) ((v) * SLOTS + (s))
#define BARRIERS ((NE + 1) * LEASES)
#define AT(epoch, id) ((epoch) * LEASES + (id))
#define NONE 2                   /* no connection */
#define UNKNOWN (NE + 1)         /* floor of a view before its first hello: above every epoch */
#define HAS(set, a) (((set) >> (a)) & 1)
#define MAX(a, b) ((a) > (b) -> (a) : (b))

mtype = { HELLO, ECHO, PUSH };
mtype = { STALE, CONNECTING, FOLLOWING };
mtype = { IDLE, COMMITTED, WAITING, OVER };

/* ---- durable state of the server ---- */
byte stored = 0;                 /* the epoch in the store */
byte target[NE + 1];             /* agent that each epoch revoked */
byte revoked = 0;                /* set of agents */

/* ---- one server process ---- */
bit up = 0;
byte reg = 0;                    /* the registry's epoch */
byte seq = 0;                    /* pushes of this process */
byte settle = 0;                 /* until no lease of the process before is left */
bit sopen[NV * SLOTS];
byte echoed[LEASES];             /* until the latest echo of a lease has run out */
byte barrier[BARRIERS];          /* until a lease that was live at the push of an epoch has run out; 0: not waited for */
mtype task[NE + 1] = IDLE;       /* the call that revokes */
byte covers[NE + 1];             /* the push whose completion is that of the call */
byte deciding = 0;               /* one more than the agent of a decision that is between its two reads; 0: none */
byte depoch = 0;

/* ---- verifiers ---- */
byte cur[NV] = NONE;             /* slot of the present connection */
mtype phase[NV] = STALE;
byte vepoch[NV];
byte vfloor[NV] = UNKNOWN;
byte vseq[NV];
byte touched[NV * NA];           /* epoch of what was done to an agent last */
byte lease[NV];                  /* until the lease ends */
byte sent[NV];                   /* nonces that are not echoed yet */
byte life[NV * K];               /* until each of them would end, oldest first */
bit asleep[NV];
bit sasleep = 0;                 /* the server's process stands still, and with it its clock */

/* ---- the network: lines arrive in order within a connection, or never ---- */
chan beats[NV * SLOTS] = [K] of { byte };                     /* ack */
chan lines[NV * SLOTS] = [K + NE + 1] of { mtype, byte, byte, byte }; /* kind, epoch, seq, set of agents */

/* ---- scratch, used within one step only ---- */
hidden byte i, j, x, ack, e, n, set;
hidden mtype kind;

/* ---- ghosts: what the world knows ---- */
byte stopped = 0;                /* agents whose revocation has completed */
byte granted[NA];                /* one more than the highest epoch on which an agent was ever allowed; 0: never */

#ifdef SLEEP
#define AWAKE(v) (!asleep[v])
#define SERVING (up && !sasleep)
#else
#define AWAKE(v) true
#define SERVING up
#endif

/* RevocationView.requireFresh and requireUntouched, for the latest decision there is: older ones pass less. */
#define ALLOWS(v, a) (AWAKE(v) && lease[v] > 0 && granted[a] > 0 && vfloor[v] < granted[a] && touched[(v) * NA + (a)] < granted[a])
#define READABLE(v) (cur[v] != NONE && len(lines[LINK(v, cur[v])]) > 0)

inline forget_lines(v, s) {
  do
  :: len(lines[LINK(v, s)]) > 0 -> lines[LINK(v, s)]?_,_,_,_
  :: else -> break
  od
}

inline forget_beats(v, s) {
  do
  :: len(beats[LINK(v, s)]) > 0 -> beats[LINK(v, s)]?_
  :: else -> break
  od
}

/* FeedConnection.send. To a verifier that reads another connection by now a line is lost. */
inline send(v, s, what, agents) {
  if
  :: sopen[LINK(v, s)] && cur[v] == s -> lines[LINK(v, s)]!what, reg, seq, agents
  :: else
  fi
}

/* LeaseRegistry.close: the account of a lease outlives its connection. */
inline close_lease(v, s) {
  sopen[LINK(v, s)] = 0;
  forget_beats(v, s);
#ifndef FORGET_CLOSED
  echoed[OF(v, CLOSED)] = MAX(echoed[OF(v, CLOSED)], echoed[OF(v, s)]);
#endif
  echoed[OF(v, s)] = 0;
  for (i : 1 .. NE) {
#ifndef FORGET_CLOSED
    barrier[AT(i, OF(v, CLOSED))] = MAX(barrier[AT(i, OF(v, CLOSED))], barrier[AT(i, OF(v, s))]);
#endif
    barrier[AT(i, OF(v, s))] = 0
  }
}

/* LeaseRegistry.ack and echo, answered by the feed in the same turn. */
inline answer_beat(v, s) {
  beats[LINK(v, s)]?ack;
  assert(ack <= reg);
  for (i : 1 .. NE) {
    if
    :: i <= ack -> barrier[AT(i, OF(v, s))] = 0
    :: else
    fi
  }
  echoed[OF(v, s)] = S_WAIT;
  send(v, s, ECHO, 0)
}

/* LeaseFeed.#push and LeaseRegistry.advance: what happened since the last push (a set of agents in j), the rise of the
 * epoch and the barrier are one step. */
inline advance(epoch) {
  j = 0;
#ifdef OWN_TARGETS
  j = 1 << target[epoch];
  reg = epoch;
#else
  for (i : 1 .. NE) {
    if
    :: i > reg && i <= stored -> j = j | (1 << target[i])
    :: else
    fi
  }
  reg = stored;
#endif
  seq++;
  for (i : 0 .. LEASES - 1) {
    barrier[AT(reg, i)] = echoed[i]
  }
}

inline push_to_all() {
  for (x : 0 .. NV - 1) {
    send(x, 0, PUSH, j);
    send(x, 1, PUSH, j)
  }
}

/* LeaseRegistry.completion: x becomes the number of leases that are still waited for. */
inline count_waiting(epoch) {
  x = 0;
  for (i : 0 .. LEASES - 1) {
    if
    :: barrier[AT(epoch, i)] > 0 -> x++
    :: else
    fi
  }
}

/* The connection is gone for the verifier. Its lease goes on. */
inline leave(v) {
  if
  :: cur[v] != NONE -> forget_lines(v, cur[v])
  :: else
  fi;
  cur[v] = NONE;
  phase[v] = STALE;
  sent[v] = 0;
  for (i : 0 .. K - 1) {
    life[v * K + i] = 0
  }
}

/* RevocationView.#goStale, after which the SDK drops the connection. */
inline go_stale(v) {
  lease[v] = 0;
  leave(v)
}

/* RevocationView.#onHello */
inline on_hello(v) {
  if
  :: phase[v] != CONNECTING || e < vepoch[v] -> go_stale(v)
  :: else ->
     phase[v] = FOLLOWING;
     vseq[v] = n;
     vepoch[v] = e;
#ifdef NO_FLOOR
     vfloor[v] = 0;
#else
     vfloor[v] = e;
#endif
     for (i : 0 .. NA - 1) {
       touched[v * NA + i] = 0
     }
  fi
}

#ifdef NO_GAP_CHECK
#define ECHO_FITS(v) (phase[v] == FOLLOWING)
#define PUSH_FITS(v) (phase[v] == FOLLOWING)
#else
#define ECHO_FITS(v) (phase[v] == FOLLOWING && e == vepoch[v] && n == vseq[v])
#define PUSH_FITS(v) (phase[v] == FOLLOWING && n == vseq[v] + 1 && e > vepoch[v])
#endif

inline notice_gap(v) {
#ifdef REACH_STALE
  assert(false);
#endif
  go_stale(v)
}

/* RevocationView.#onEcho: echoes come in the order of their nonces, so this one is of the oldest. */
inline on_echo(v) {
  if
  :: ECHO_FITS(v) ->
#ifdef FROM_RECEIPT
     lease[v] = V_LIFE;
#else
     lease[v] = life[v * K];
#endif
     for (i : 1 .. K - 1) {
       life[v * K + i - 1] = life[v * K + i]
     }
     life[v * K + K - 1] = 0;
     sent[v]--
  :: else -> notice_gap(v)
  fi
}

/* RevocationView.#onPush. With FORGETFUL the view keeps one target, as MAX_KEPT_TARGETS would be 1. */
inline on_push(v) {
  if
  :: PUSH_FITS(v) ->
     vseq[v] = n;
     vepoch[v] = e;
     for (i : 0 .. NA - 1) {
       if
       :: HAS(set, i) -> touched[v * NA + i] = e
       :: else
       fi
     }
#ifdef FORGETFUL
     if
     :: touched[v * NA] > 0 && touched[v * NA + 1] > 0 ->
        j = (touched[v * NA] <= touched[v * NA + 1] -> 0 : 1);
#ifndef NO_FORGET_FLOOR
        vfloor[v] = MAX(vfloor[v], touched[v * NA + j]);
#endif
        touched[v * NA + j] = 0
     :: else
     fi
#endif
  :: else -> notice_gap(v)
  fi
}

/* Connecting and being accepted are one step: nothing is read before, and the wait for it is in the steps around. */
inline connect(v, s) {
  cur[v] = s;
  phase[v] = CONNECTING;
  sopen[LINK(v, s)] = 1;
  send(v, s, HELLO, 0)
}

/* A revocation by its epoch: a transaction, then the feed, then the answer. It ends an agent, or the same one again. */
inline commit(epoch, agent) {
  stored = epoch;
  target[epoch] = agent;
#ifdef NO_DECIDER
  /* The latest decision there can be was made just before. */
  if
  :: !HAS(revoked, agent) -> granted[agent] = epoch
  :: else
  fi;
#endif
  revoked = revoked | (1 << agent);
  task[epoch] = COMMITTED
}

proctype Revoke(byte epoch) {
  do
  :: d_step { SERVING && stored == epoch - 1 -> commit(epoch, 0) }
#if NA > 1
  :: d_step { SERVING && stored == epoch - 1 && epoch > 1 -> commit(epoch, 1) }
#endif
  :: d_step { SERVING && task[epoch] == COMMITTED && epoch > reg ->
       advance(epoch); push_to_all(); task[epoch] = WAITING; covers[epoch] = reg }
#ifdef LOSE_PUSH
  :: d_step { SERVING && task[epoch] == COMMITTED && epoch > reg ->
       advance(epoch); task[epoch] = WAITING; covers[epoch] = reg }
#endif
  :: d_step { SERVING && task[epoch] == COMMITTED && epoch <= reg -> task[epoch] = WAITING; covers[epoch] = reg }
  :: d_step { SERVING && task[epoch] == WAITING && settle == 0 ->
       count_waiting(covers[epoch]);
       if
       :: x == 0 -> stopped = stopped | (1 << target[epoch]); task[epoch] = OVER; covers[epoch] = 0
       :: else
       fi }
  od
}

#ifndef NO_DECIDER
/* POST /v1/decisions: the epoch is read first, the life of the chain second. */
proctype Decide(byte agent) {
  do
#ifdef LIVENESS_FIRST
  :: d_step { SERVING && deciding == 0 && !HAS(revoked, agent) -> deciding = agent + 1 }
  :: d_step { SERVING && deciding == agent + 1 -> granted[agent] = MAX(granted[agent], stored + 1); deciding = 0 }
#else
  :: d_step { SERVING && deciding == 0 && !HAS(revoked, agent) -> deciding = agent + 1; depoch = stored }
  :: d_step { SERVING && deciding == agent + 1 ->
       if
       :: !HAS(revoked, agent) -> granted[agent] = MAX(granted[agent], depoch + 1)
       :: else
       fi;
       deciding = 0; depoch = 0 }
#endif
  od
}
#endif

/* The server's end of one connection: answers beats, and loses the connection at any time. */
proctype Feed(byte v; byte s) {
  do
  :: d_step { SERVING && sopen[LINK(v, s)] && len(beats[LINK(v, s)]) > 0 -> answer_beat(v, s) }
#ifndef STEADY
  :: d_step { SERVING && sopen[LINK(v, s)] -> close_lease(v, s); skip }
#endif
  od
}

/* A verifier: connects, reads, beats, loses its connection at any time, dies, sleeps. */
proctype Verifier(byte v) {
  do
  :: d_step { SERVING && AWAKE(v) && cur[v] == NONE && !sopen[LINK(v, 0)] -> connect(v, 0) }
#ifndef ONE_SLOT
  :: d_step { SERVING && AWAKE(v) && cur[v] == NONE && sopen[LINK(v, 0)] && !sopen[LINK(v, 1)] -> connect(v, 1) }
#endif
  :: d_step { AWAKE(v) && READABLE(v) ->
       lines[LINK(v, cur[v])]?kind, e, n, set;
       if
       :: kind == HELLO -> on_hello(v)
       :: kind == ECHO -> on_echo(v)
       :: kind == PUSH -> on_push(v)
       fi }
  :: d_step { AWAKE(v) && phase[v] == FOLLOWING && sent[v] < K ->
       /* RevocationView.onSent; the ack is the epoch that the view has applied. */
       life[v * K + sent[v]] = V_LIFE;
       sent[v]++;
       if
       :: sopen[LINK(v, cur[v])] -> beats[LINK(v, cur[v])]!vepoch[v]
       :: else
       fi }
#ifndef STEADY
  :: d_step { AWAKE(v) && cur[v] != NONE -> leave(v); skip }
  :: d_step { cur[v] != NONE || vfloor[v] != UNKNOWN ->
       go_stale(v);
       vepoch[v] = 0; vfloor[v] = UNKNOWN; vseq[v] = 0; asleep[v] = 0;
       for (i : 0 .. NA - 1) {
         touched[v * NA + i] = 0
       };
       skip }
#endif
#ifdef SLEEP
  :: d_step { asleep[v] = 1 - asleep[v] }
#endif
  od
}

/* The server's process: starts on what is durable, dies, stands still. What was being revoked is not answered. */
proctype Server() {
  do
  :: d_step { !up ->
       up = 1; reg = stored; seq = 0;
#if !defined(NO_RESTART_RULE) && !defined(STEADY)
       settle = S_WAIT
#endif
     }
#ifndef STEADY
  :: d_step { up ->
       up = 0; reg = 0; seq = 0; settle = 0; sasleep = 0; deciding = 0; depoch = 0;
       for (x : 0 .. NV - 1) {
         forget_beats(x, 0); sopen[LINK(x, 0)] = 0;
         forget_beats(x, 1); sopen[LINK(x, 1)] = 0
       }
       for (i : 0 .. LEASES - 1) {
         echoed[i] = 0
       }
       for (i : 0 .. BARRIERS - 1) {
         barrier[i] = 0
       }
       for (i : 1 .. NE) {
         if
         :: task[i] == COMMITTED || task[i] == WAITING -> task[i] = OVER; covers[i] = 0
         :: else
         fi
       };
       skip }
#endif
#ifdef SLEEP
  :: d_step { up -> sasleep = 1 - sasleep }
#endif
  od
}

#define DOWN(timer) if :: timer > 0 -> timer-- :: else fi

/* MONOTONIC_ONLY: a lease that the wall clock does not end would stand still with its process. */
#ifdef MONOTONIC_ONLY
#define AGES(v) (!asleep[v])
#else
#define AGES(v) true
#endif

/* Time. A sleeping server's monotonic clock stands still; a lease also ends by the wall clock, which does not. */
proctype Clock() {
  do
  :: d_step {
       for (x : 0 .. NV - 1) {
         if
         :: AGES(x) ->
            DOWN(lease[x]);
            for (i : 0 .. K - 1) {
              DOWN(life[x * K + i])
            }
         :: else
         fi
       }
       if
       :: !sasleep ->
          DOWN(settle);
          for (i : 0 .. LEASES - 1) {
            DOWN(echoed[i])
          }
          for (i : 0 .. BARRIERS - 1) {
            DOWN(barrier[i])
          }
       :: else
       fi }
  od
}

/* The promise. With REACH_*, instead, a question whether something happens at all, which must be answered yes. */
#define BROKEN(v, a) (HAS(stopped, a) && ALLOWS(v, a))

#ifdef REACH_LATE
#define REACH (ALLOWS(0, 0) && HAS(revoked, 0))   /* an allow between the commit and the end of a revocation */
#endif
#ifdef REACH_ACKED
#define REACH (HAS(stopped, 0) && granted[0] > 0 && lease[0] == V_LIFE && echoed[OF(0, CLOSED)] == 0) /* a lease survives it */
#endif
#ifdef REACH_CROSSED
#define REACH (phase[0] == FOLLOWING && cur[0] == 1 && lease[0] > 0 && len(beats[LINK(0, 0)]) > 0 && len(beats[LINK(0, 1)]) > 0)
#endif
#ifdef REACH_RESTART
#define REACH (up && settle > 0 && task[1] == OVER && !HAS(stopped, 0) && ALLOWS(0, 0)) /* of a crash in the middle */
#endif

proctype Judge() {
  do
#ifdef REACH
  :: d_step { REACH -> assert(false) }
#else
  :: d_step { BROKEN(0, 0) -> assert(false) }
#if NA > 1
  :: d_step { BROKEN(0, 1) -> assert(false) }
#endif
#if NV > 1
  :: d_step { BROKEN(1, 0) -> assert(false) }
#if NA > 1
  :: d_step { BROKEN(1, 1) -> assert(false) }
#endif
#endif
#endif
  od
}

init {
  atomic {
    for (x : 0 .. NV - 1) {
      run Verifier(x); run Feed(x, 0); run Feed(x, 1)
    }
    for (x : 1 .. NE) {
      run Revoke(x)
    }
#ifndef NO_DECIDER
    for (x : 0 .. NA - 1) {
      run Decide(x)
    }
#endif
    run Server();
    run Clock();
    run Judge()
  }
}
