/*
 * Relays between the server and a verifier: the lease protocol handed on.
 *
 * The same promise as in lease.pml: once a stop is complete, the verifier does not allow what it stopped. What
 * lease.pml already shows of one connection (commits that overlap, decisions under way, forgetting views, suspended
 * processes) is left out here, so that trees, crashes of relays and three clocks fit. Every name maps to code in
 * README.md. No step is urgent. NO_* and other mutations remove one rule each and must fail; REACH_* must be reached.
 */

#ifndef NR
#define NR 1        /* relays */
#endif
#ifndef NE
#define NE 1        /* stops; the agent e - 1 is stopped by the epoch e */
#endif
#ifndef T
#define T 1         /* ticks a lease, on a true clock */
#endif
#ifndef MARGIN
#define MARGIN 105  /* what whoever gave a lease waits for it, in percent: DRIFT_FACTOR */
#endif
#ifndef RELAY_RATE
#define RELAY_RATE 98
#endif
#ifndef SERVER_RATE
#define SERVER_RATE 102     /* percent of a true clock: the worst server is fast, the worst verifier slow */
#endif
#ifndef VERIFIER_RATE
#define VERIFIER_RATE 98
#endif

#define NODES (NR + 2)      /* 0 is the server, then the relays, then the verifier */
#define V (NR + 1)
#define NONE NODES
#define UNKNOWN (NE + 1)    /* floor of the view before its first hello */
#define PAIR(p, c) ((p) * NODES + (c))
#define OPEN(p, c) (PAIR(p, c) * 2)
#define CLOSED(p, c) (PAIR(p, c) * 2 + 1)
#define ACCOUNTS (NODES * NODES * 2)
#define OWED(e, account) ((e) * ACCOUNTS + (account))
#define CEIL(a, b) (((a) + (b) - 1) / (b))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define ALL ((1 << NE) - 1)

#define RATE(n) ((n) == V -> VERIFIER_RATE : ((n) == 0 -> SERVER_RATE : RELAY_RATE))
#define FULL (100 * T)      /* a whole lease, in hundredths of a tick of the clock that measures it */

mtype = { HELLO, ECHO, PUSH };
mtype = { STALE, CONNECTING, FOLLOWING };

/* ---- server and relays: what each gave, and who still owes an answer ---- */
bit up = 1;
byte settle = 0;                   /* of a restarted server */
byte epoch[NODES];                 /* registry's epoch; of a relay and the verifier, the epoch of its view */
byte seq[NODES];                   /* pushes to below */
bit open[NODES * NODES];
byte echoed[ACCOUNTS];             /* ticks until the latest echo of an account has run out for certain */
byte owed[(NE + 1) * ACCOUNTS];    /* of those that were live when an epoch came: ticks until they are not waited for */

/* ---- relays and the verifier: what each was given ---- */
byte cur[NODES] = NONE;            /* whom it follows */
mtype phase[NODES] = STALE;
bit known[NODES];                  /* a relay that had a hello, and so has an epoch to serve */
byte vseq[NODES];
short grant[NODES];                /* the present lease, counted from sending; 0: none */
byte since[NODES];                 /* ticks since then */
bit sent[NODES];                   /* a nonce is on its way */
byte spent[NODES];                 /* with FEW a relay sends two nonces and the verifier one: enough for clocks */
byte age[NODES];                   /* for so many ticks */
byte floor = UNKNOWN;              /* of the verifier */
byte touched = 0;                  /* agents that the verifier knows to be stopped */

#ifdef STORE
/* Servers that share a store: node 0 is the database, which notes who lives and no echoes. An account of it is a process's. */
bit heard[NODES];                  /* the present process has beaten */
bit before[NODES];                 /* one before it has */
bit died[NODES];                   /* and its connection is not closed yet */
#endif

chan beats[NODES * NODES] = [1] of { byte };                          /* ack */
chan lines[NODES * NODES] = [NE + 2] of { mtype, byte, byte, short }; /* kind, epoch, seq, agents or grant */

hidden byte i, j, k, ack, e, n, x;
hidden short rest, gift;
hidden mtype kind;

byte stopped = 0;                  /* what the world knows: stops that are complete */

/* With CALM only the verifier's connections break, so that two relays fit. */
#ifdef CALM
#define MAY_BREAK(c) ((c) == V)
#else
#define MAY_BREAK(c) true
#endif
#define LIVE(c) (grant[c] > since[c] * RATE(c))
#define LEFT(c) (grant[c] - since[c] * RATE(c))
#define SERVES(p) ((p) == 0 && up || (p) != 0 && known[p])

#ifdef CHAIN
#define PARENT(c, p) ((p) == (c) - 1)
#else
#define PARENT(c, p) ((c) == V && (p) > 0 || (c) != V && (p) == 0)
#endif

/* Decision 0100: a verifier whose relay is silent asks another one beside it, and goes on reading the first until the other is
   taken. Whoever it asks says hello at once, and what it says waits. */
#ifdef BESIDE
byte beside = NONE;
#ifdef HEARS_OLD
#define HEARS(c, p) (cur[c] == (p) || (c) == V)
#else
#define HEARS(c, p) (cur[c] == (p) || (c) == V && beside == (p))
#endif
#define ASKS(c) ((c) == V && beside != NONE)
#else
#define HEARS(c, p) (cur[c] == (p))
#define ASKS(c) false
#endif

inline send(above, below, what, data) {
  if
  :: open[PAIR(above, below)] && HEARS(below, above) -> lines[PAIR(above, below)]!what, epoch[above], seq[above], data
  :: else
  fi
}

inline forget_lines(above, below) {
  do
  :: len(lines[PAIR(above, below)]) > 0 -> lines[PAIR(above, below)]?_,_,_,_
  :: else -> break
  od
}

inline forget_beats(above, below) {
  do
  :: len(beats[PAIR(above, below)]) > 0 -> beats[PAIR(above, below)]?_
  :: else -> break
  od
}

/* LeaseRegistry.close: the account of a lease outlives its connection. */
inline close_lease(p, c) {
  open[PAIR(p, c)] = 0;
  forget_beats(p, c);
#ifdef STORE
  if
  :: p == 0 && !died[c] /* It goes on, and speaks for itself over the next connection. */
  :: else ->
     if
     :: p == 0 ->
#ifndef STORE_FORGETS
        before[c] = before[c] | heard[c];
#endif
        heard[c] = 0; died[c] = 0
     :: else
     fi;
#endif
#ifdef FORGET_CLOSED
  if
  :: p != 0
  :: else ->
#endif
     echoed[CLOSED(p, c)] = MAX(echoed[CLOSED(p, c)], echoed[OPEN(p, c)]);
     for (i : 1 .. NE) {
       owed[OWED(i, CLOSED(p, c))] = MAX(owed[OWED(i, CLOSED(p, c))], owed[OWED(i, OPEN(p, c))])
     }
#ifdef FORGET_CLOSED
  fi;
#endif
  echoed[OPEN(p, c)] = 0;
  for (i : 1 .. NE) {
    owed[OWED(i, OPEN(p, c))] = 0
  }
#ifdef STORE
  fi
#endif
}

/* LeaseRegistry.advance and the push, in one step. */
inline advance(node, to, agents) {
  epoch[node] = to;
  seq[node]++;
  for (j : 0 .. NODES - 1) {
#ifdef STORE
    if
    :: node == 0 ->
       owed[OWED(to, OPEN(0, j))] = (heard[j] -> CEIL(FULL * MARGIN, 100 * SERVER_RATE) : 0);
       owed[OWED(to, CLOSED(0, j))] = (before[j] -> CEIL(FULL * MARGIN, 100 * SERVER_RATE) : 0)
    :: else ->
#endif
       owed[OWED(to, OPEN(node, j))] = echoed[OPEN(node, j)];
       owed[OWED(to, CLOSED(node, j))] = echoed[CLOSED(node, j)]
#ifdef STORE
    fi
#endif
    ;
    send(node, j, PUSH, agents)
  }
}

/* LeaseRegistry.completion of an epoch: x becomes the number of leases that are still waited for. */
inline count_owed(node, to) {
  x = 0;
  for (j : 0 .. NODES - 1) {
    x = x + (owed[OWED(to, OPEN(node, j))] > 0 -> 1 : 0) + (owed[OWED(to, CLOSED(node, j))] > 0 -> 1 : 0)
  }
}

/* What a beat acknowledges. A relay speaks for everybody below it. */
inline acknowledge(c) {
  ack = epoch[c];
#ifndef ACK_AT_ONCE
  if
  :: c != V ->
     for (k : 1 .. NE) {
       count_owed(c, k);
       if
       :: x > 0 && k <= ack -> ack = k - 1
       :: else
       fi
     }
  :: else
  fi
#endif
}

/* LeaseFeed.#onBeat. A relay answers only while it holds a lease itself, and gives no more than is left of it. */
inline answer(p, c) {
  beats[PAIR(p, c)]?ack;
#ifdef STORE
  if
  :: p == 0 -> heard[c] = 1
  :: else
  fi;
#endif
  for (i : 1 .. NE) {
    if
    :: i <= ack ->
       owed[OWED(i, OPEN(p, c))] = 0;
#ifdef ACK_COVERS_OLD
       owed[OWED(i, CLOSED(p, c))] = 0;
#endif
    :: else
    fi
  }
  rest = FULL;
  if
  :: p != 0 ->
     rest = (LIVE(p) -> LEFT(p) : 0);
#ifdef GRANT_WHOLE
     rest = (rest > 0 -> FULL : 0);
#endif
#ifdef GRANT_WITHOUT
     rest = (rest > 0 -> rest : RELAY_RATE);
#endif
  :: else
  fi;
  if
  :: rest > 0 ->
#ifdef NO_DRIFT_MARGIN
     x = (p != 0 -> CEIL(rest, RATE(p)) : CEIL(rest * MARGIN, 100 * RATE(p)));
#else
     x = CEIL(rest * MARGIN, 100 * RATE(p));
#endif
     /* A later echo may give less than is left of an earlier one. */
#ifdef STORE
     x = (p == 0 -> 0 : x);
#endif
#ifdef LATEST_ECHO_ONLY
     echoed[OPEN(p, c)] = x;
#else
     echoed[OPEN(p, c)] = MAX(echoed[OPEN(p, c)], x);
#endif
     send(p, c, ECHO, rest)
  :: else
  fi
}

inline leave(c) {
  if
#ifndef HEARS_OLD
  :: cur[c] != NONE -> forget_lines(cur[c], c)
#endif
  :: else
  fi;
  cur[c] = NONE;
  phase[c] = STALE;
  sent[c] = 0;
  age[c] = 0
}

inline go_stale(c) {
  grant[c] = 0;
  since[c] = 0;
  leave(c)
}

/* RevocationView.#onHello. A relay whose view jumps does not know what it missed: everything is void below it. */
inline on_hello(c) {
  if
#ifdef NO_HELLO_CHECK
  :: phase[c] != CONNECTING || (e < epoch[c] && c != V) -> go_stale(c)
#else
  :: phase[c] != CONNECTING || e < epoch[c] -> go_stale(c)
#endif
  :: else ->
     phase[c] = FOLLOWING;
     vseq[c] = n;
     if
     :: c == V -> floor = e; touched = 0; epoch[c] = e
     :: c != V && !known[c] -> known[c] = 1; epoch[c] = e
     :: c != V && known[c] && e > epoch[c] ->
#ifdef NO_VOID
        advance(c, e, 0)
#else
        advance(c, e, ALL)
#endif
     :: else
     fi
  fi
}

inline on_echo(c) {
  if
  :: phase[c] == FOLLOWING && e == epoch[c] && n == vseq[c] && sent[c] ->
     x = age[c];
#ifdef FROM_RECEIPT
     x = (c == V -> 0 : x);
#endif
     if
     /* Whichever ends later: each of the two was given. */
     :: gift - x * RATE(c) > (LIVE(c) -> LEFT(c) : 0) -> grant[c] = gift; since[c] = x
     :: else
     fi;
     sent[c] = 0;
     age[c] = 0
  :: else -> go_stale(c)
  fi
}

inline on_push(c) {
  if
  :: phase[c] == FOLLOWING && n == vseq[c] + 1 && e > epoch[c] ->
     vseq[c] = n;
     if
     :: c == V -> epoch[c] = e; touched = touched | gift
     :: else -> advance(c, e, gift)
     fi
  :: else -> go_stale(c)
  fi
}

/* A process of a relay or the verifier ends, and with it all that it knew. */
inline die(c) {
  go_stale(c);
#ifdef BESIDE
  if
  :: c == V && beside != NONE -> forget_lines(beside, c); beside = NONE
  :: else
  fi;
#endif
#ifdef STORE
  if
  :: open[PAIR(0, c)] -> died[c] = 1
  :: else ->
#ifndef STORE_FORGETS
     before[c] = before[c] | heard[c];
#endif
     for (i : 1 .. NE) {
       owed[OWED(i, CLOSED(0, c))] = MAX(owed[OWED(i, CLOSED(0, c))], owed[OWED(i, OPEN(0, c))]);
       owed[OWED(i, OPEN(0, c))] = 0
     }
     heard[c] = 0
  fi;
#endif
  epoch[c] = 0; seq[c] = 0; vseq[c] = 0; known[c] = 0;
  if
  :: c == V -> floor = UNKNOWN; touched = 0
  :: else ->
     for (j : 0 .. NODES - 1) {
       if
       :: open[PAIR(c, j)] -> open[PAIR(c, j)] = 0; forget_beats(c, j)
       :: else
       fi;
       echoed[OPEN(c, j)] = 0; echoed[CLOSED(c, j)] = 0;
       for (i : 1 .. NE) {
         owed[OWED(i, OPEN(c, j))] = 0; owed[OWED(i, CLOSED(c, j))] = 0
       }
     }
  fi
}

proctype Server() {
  do
  :: d_step { up && epoch[0] < NE -> x = epoch[0] + 1; advance(0, x, 1 << (x - 1)); skip }
  :: d_step { up && settle == 0 && epoch[0] > 0 ->
       for (k : 1 .. NE) {
         count_owed(0, k);
         if
         :: x == 0 && k <= epoch[0] -> stopped = stopped | (1 << (k - 1))
         :: else
         fi
       };
       skip }
#ifdef SERVER_DIES
  :: d_step { up ->
       up = 0; seq[0] = 0; settle = 0;
       for (j : 1 .. NODES - 1) {
         open[PAIR(0, j)] = 0; forget_beats(0, j);
         echoed[OPEN(0, j)] = 0; echoed[CLOSED(0, j)] = 0;
         for (i : 1 .. NE) {
           owed[OWED(i, OPEN(0, j))] = 0; owed[OWED(i, CLOSED(0, j))] = 0
         }
       };
       skip }
  :: d_step { !up -> up = 1; settle = CEIL(FULL * MARGIN, 100 * SERVER_RATE) }
#endif
  od
}

/* The upper end of one connection. */
proctype Feed(byte p; byte c) {
  do
  :: d_step { SERVES(p) && open[PAIR(p, c)] && len(beats[PAIR(p, c)]) > 0 -> answer(p, c) }
#ifndef STEADY
  :: d_step { open[PAIR(p, c)] && MAY_BREAK(c) -> close_lease(p, c); skip }
#endif
  od
}

/* Its lower end: whoever follows. */
proctype Follower(byte c; byte p) {
  do
  :: d_step { cur[c] == NONE && !ASKS(c) && SERVES(p) && !open[PAIR(p, c)] ->
       cur[c] = p; phase[c] = CONNECTING; open[PAIR(p, c)] = 1; send(p, c, HELLO, 0) }
#ifdef HEARS_OLD
  :: d_step { cur[c] != p && c == V && cur[c] != NONE && len(lines[PAIR(p, c)]) > 0 ->
       lines[PAIR(p, c)]?kind, e, n, gift;
       if
       :: kind == ECHO -> on_echo(c)
       :: else
       fi }
#endif
  :: d_step { cur[c] == p && len(lines[PAIR(p, c)]) > 0 ->
       lines[PAIR(p, c)]?kind, e, n, gift;
       if
       :: kind == HELLO -> on_hello(c)
       :: kind == ECHO -> on_echo(c)
       :: kind == PUSH -> on_push(c)
       fi }
  :: d_step { cur[c] == p && phase[c] == FOLLOWING && !sent[c] && spent[c] < 2 && len(beats[PAIR(p, c)]) == 0 ->
       sent[c] = 1; age[c] = 0;
#ifdef FEW
#ifdef BESIDE
       spent[c] = (c == V -> spent[c] + 1 : 2);     /* one to each of the two that it asks */
#else
       spent[c] = (c == V -> 2 : spent[c] + 1);
#endif
#endif
       acknowledge(c);
       if
       :: open[PAIR(p, c)] -> beats[PAIR(p, c)]!ack
       :: else
       fi }
#ifdef BESIDE
  :: d_step { c == V && cur[c] != NONE && cur[c] != p && beside == NONE && SERVES(p) && !open[PAIR(p, c)] ->
       beside = p; open[PAIR(p, c)] = 1; send(p, c, HELLO, 0) }
  /* Heard first: it is followed, and whoever was followed is left with what it still said. */
  :: d_step { c == V && beside == p -> leave(c); cur[c] = p; phase[c] = CONNECTING; beside = NONE }
  /* Whom we follow was heard first, or the try failed. */
  :: d_step { c == V && beside == p -> forget_lines(p, c); beside = NONE }
#endif
#ifndef STEADY
  :: d_step { cur[c] == p && MAY_BREAK(c) -> leave(c); skip }
#ifndef NO_DEATHS
  :: d_step { cur[c] == p && (c != V || floor != UNKNOWN) -> die(c); skip }
#endif
#endif
  od
}

#define DOWN(timer) if :: timer > 0 -> timer-- :: else fi

proctype Clock() {
  do
  :: d_step {
       DOWN(settle);
       for (j : 1 .. NODES - 1) {
         if
         :: grant[j] > 0 ->
            since[j]++;
            if
            :: !LIVE(j) -> grant[j] = 0; since[j] = 0
            :: else
            fi
         :: else
         fi;
         if
         :: sent[j] && age[j] * RATE(j) < FULL -> age[j]++
         :: else
         fi
       }
       for (i : 0 .. ACCOUNTS - 1) {
         DOWN(echoed[i])
       }
       for (i : 0 .. (NE + 1) * ACCOUNTS - 1) {
         DOWN(owed[i])
       };
       skip }
  od
}

/* The hardest decision to refuse on each agent: the one made just before its stop. */
#define ALLOWS(a) (LIVE(V) && floor <= (a) && ((touched >> (a)) & 1) == 0)
#define BROKEN(a) (((stopped >> (a)) & 1) && ALLOWS(a))

#ifdef REACH_LATE
#define REACH (ALLOWS(0) && epoch[0] > 0 && epoch[1] > 0)      /* the relay knows, the verifier does not yet */
#endif
#ifdef REACH_KEPT
#define REACH ((stopped & 1) && LIVE(V) && floor == 0)         /* a lease survives a stop, below a relay */
#endif
#ifdef REACH_MOVED
#define REACH (cur[V] == 2 && LIVE(V) && echoed[CLOSED(1, V)] > 0 && phase[V] == FOLLOWING && epoch[2] > 0)
#endif
#ifdef REACH_BESIDE    /* another relay is followed, and a beat to the one before is not answered yet */
#define REACH (cur[V] == 2 && phase[V] == FOLLOWING && sent[V] && len(beats[PAIR(1, V)]) > 0 && epoch[2] > 0)
#endif
#ifdef REACH_ORPHAN
#define REACH (LIVE(V) && !known[1] && epoch[0] > 0 && !(stopped & 1) && floor == 0) /* a lease outlives its relay */
#endif
#ifdef REACH_DEEP
#define REACH (LIVE(V) && (stopped & 1) && cur[V] == NR && floor == 0 && echoed[OPEN(NR - 1, NR)] > 0)
#endif

proctype Judge() {
  do
#ifdef REACH
  :: d_step { REACH -> assert(false) }
#else
  :: d_step { BROKEN(0) -> assert(false) }
#if NE > 1
  :: d_step { BROKEN(1) -> assert(false) }
#endif
#endif
  od
}

init {
  atomic {
    for (i : 1 .. V) {
      for (j : 0 .. NR) {
        if
        :: PARENT(i, j) -> run Feed(j, i); run Follower(i, j)
        :: else
        fi
      }
    }
    run Server();
    run Clock();
    run Judge()
  }
}
