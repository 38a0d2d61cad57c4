#!/bin/sh
# Checks the lease protocol with spin: the model holds, every rule that is taken out of it is missed, and what it
# speaks of happens. Prints one line a run and `N passed, N failed`.
#
#   model/check.sh [WORD]     only runs whose name contains WORD
#
# Needs spin and a C compiler. Without them: a loud skip, or in CI an installation, and a failure where that fails.
set -u
here=$(cd "$(dirname "$0")" && pwd)
only=${1:-}
memory_mib=3800
passed=0
failed=0

if ! { command -v spin && command -v cc; } >/dev/null 2>&1; then
  if [ -z "${CI:-}" ]; then
    printf 'SKIPPED: the revocation protocol was NOT checked; install spin (apt-get install spin) and a C compiler.\n' >&2
    exit 0
  fi
  { apt-get update -qq && apt-get install -y -qq spin gcc; } >/dev/null 2>&1
  if ! { command -v spin && command -v cc; } >/dev/null 2>&1; then
    printf 'CI must check the revocation protocol, and spin cannot be installed.\n\n0 passed, 1 failed\n'
    exit 1
  fi
fi

# What the server waits is read from the code, so that the model follows it.
factor=$(sed -n 's/^export const DRIFT_FACTOR = \([0-9.]*\);$/\1/p' "$here/../core/revocation/lease-registry.ts")
margin=$(awk -v factor="$factor" 'BEGIN { if (factor > 0) printf "%.0f", factor * 100 }')
if [ -z "$margin" ]; then
  printf 'FAIL DRIFT_FACTOR was not found in core/revocation/lease-registry.ts\n\n0 passed, 1 failed\n'
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

model=lease.pml

count() {
  printf '%s %s (%s)\n' "$1" "$2" "$3"
  if [ "$1" = "ok  " ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# verify NAME FLAGS: leaves the verdict in $verdict (holds, broken, or what went wrong) and the states in $states.
# $search chooses between all states and a sample of them.
verify() {
  rm -rf "$work/run" && mkdir "$work/run" && cd "$work/run" || exit 1
  states=0
  # shellcheck disable=SC2086 # the flags are words
  if ! { spin -a -DMARGIN="$margin" $1 "$here/$model" && cc -O2 -w -DSAFETY -DNOREDUCE -DMEMLIM=$memory_mib $search -o pan pan.c; } >log 2>&1; then
    verdict="does not compile: $(tail -n 1 log)"
    return
  fi
  # shellcheck disable=SC2086
  ./pan -n -m4000000 $limits >log 2>&1
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' log)
  if grep -q 'assertion violated' log; then
    verdict=broken
  elif grep -q 'errors: 0' log && { [ "$search" != -DCOLLAPSE ] || ! grep -Eq 'max search depth too small|not completed|out of memory|memory limit' log; }; then
    verdict=holds
  else
    verdict="not decided: $(grep -Em1 'error|memory|depth' log || tail -n 1 log)"
  fi
}

# expect VERDICT NAME FLAGS
expect() {
  case $2 in *"$only"*) ;; *) return ;; esac
  search=-DCOLLAPSE
  limits=
  verify "$3"
  if [ "$verdict" = "$1" ]; then
    count "ok  " "$2" "$states states"
    return
  fi
  count FAIL "$2" "$verdict, expected: $1"
  [ "$verdict" = broken ] && spin -k "$model.trail" -g -DMARGIN="$margin" $3 "$here/$model" 2>/dev/null | tail -n 60
}

# The promise holds in every state.
expect holds "holds: one verifier, two beats on their way, lost connections, crashes of both sides" "-DNE=1 -DNA=1 -DK=2 -DT=2"
expect holds "holds: an agent revoked twice, with decisions under way" "-DNE=2 -DNA=1 -DK=1 -DT=1"
expect holds "holds: two agents, revocations that overlap" "-DNE=2 -DNA=2 -DK=1 -DT=1 -DNO_DECIDER"
expect holds "holds: two verifiers" "-DNV=2 -DNE=1 -DNA=1 -DK=1 -DT=1 -DNO_DECIDER -DONE_SLOT"
expect holds "holds: processes of both sides that stand still" "-DNE=1 -DNA=1 -DK=1 -DT=1 -DSLEEP"
expect holds "holds: a view that forgets its oldest target" "-DNE=2 -DNA=2 -DK=1 -DT=1 -DNO_DECIDER -DFORGETFUL"
expect holds "holds: a push that gets lost inside a connection" "-DNE=2 -DNA=2 -DK=1 -DT=1 -DNO_DECIDER -DLOSE_PUSH"
expect holds "holds: clocks 2 % off in opposite directions, to scale" "-DNE=1 -DNA=1 -DK=1 -DT=50 -DNO_DECIDER -DSTEADY"

# Without one of its rules it does not.
small="-DNE=1 -DNA=1 -DK=1 -DT=1"
pair="-DNE=2 -DNA=2 -DK=1 -DT=1 -DNO_DECIDER"
expect broken "found out: the server waits one lease, without the drift" "$small -DNO_DRIFT_MARGIN"
expect broken "found out: the server waits 1.04 leases, to scale" "-DNE=1 -DNA=1 -DK=1 -DT=50 -DNO_DECIDER -DSTEADY -UMARGIN -DMARGIN=104"
expect broken "found out: a restarted server completes at once" "$small -DNO_RESTART_RULE"
expect broken "found out: the lease counts from receipt" "$small -DFROM_RECEIPT"
expect broken "found out: a hello does not set the floor" "$small -DNO_FLOOR"
expect broken "found out: a closed connection ends the account of its lease" "$small -DFORGET_CLOSED"
expect broken "found out: the life of the chain is read before the epoch" "$small -DLIVENESS_FIRST"
expect broken "found out: only the monotonic clock ends a lease" "$small -DSLEEP -DMONOTONIC_ONLY"
expect broken "found out: a push carries its own targets only" "$pair -DOWN_TARGETS"
expect broken "found out: a view forgets without raising its floor" "$pair -DFORGETFUL -DNO_FORGET_FLOOR"
expect broken "found out: gaps are not noticed, and a push gets lost" "$small -DLOSE_PUSH -DNO_GAP_CHECK"

# What the model speaks of happens: these assertions must be reached.
expect broken "happens: an allow after the commit, before the end of a revocation" "$small -DREACH_LATE"
expect broken "happens: a verifier acknowledges and keeps its lease" "$small -DREACH_ACKED"
expect broken "happens: beats on an old and a new connection at once" "$small -DREACH_CROSSED"
expect broken "happens: a lease outlives the server that gave it" "$small -DREACH_RESTART"
expect broken "happens: a view notices a gap" "$small -DLOSE_PUSH -DREACH_STALE"

# The same protocol handed on by relays. There is no rule for a relay that starts again: what the process before gave
# on is in the account of the lease that it held itself.
model=relay.pml
calm="-DNR=2 -DNO_DEATHS -DCALM"
wide="-DT=4 -DSTEADY -DFEW -DSERVER_RATE=120 -DVERIFIER_RATE=80 -UMARGIN"
expect holds "holds: a relay, lost connections, crashes of relay and verifier" ""
expect holds "holds: a relay below a server that crashes" "-DSERVER_DIES -DCALM"
expect holds "holds: three clocks 20 % off, the relay slow" "$wide -DMARGIN=150 -DRELAY_RATE=80"
expect holds "holds: three clocks 20 % off, the relay fast" "$wide -DMARGIN=150 -DRELAY_RATE=120"
expect holds "holds: a server that shares a store, lost connections, crashes of server and verifier" "-DSTORE"
expect broken "found out: a store forgets a server that died" "-DSTORE -DSTORE_FORGETS"
expect broken "found out: a server that shares a store acknowledges for its verifiers" "-DSTORE -DACK_AT_ONCE"
expect broken "found out: a server that shares a store gives a whole lease" "-DSTORE -DGRANT_WHOLE"
expect broken "found out: a relay gives a whole lease" "-DGRANT_WHOLE"
expect broken "found out: a relay gives a lease without its own" "-DGRANT_WITHOUT"
expect broken "found out: a relay acknowledges for those behind it" "-DACK_AT_ONCE"
expect broken "found out: a relay forgets closed connections" "-DFORGET_CLOSED"
expect broken "found out: a relay passes on a gap as if nothing had happened" "-DNO_VOID"
expect broken "found out: behind a relay the lease counts from receipt" "-DFROM_RECEIPT"
expect broken "found out: the acknowledgement of a relay that started again covers the one before" "-DACK_COVERS_OLD"
expect broken "found out: a relay waits without the drift" "$wide -DMARGIN=150 -DRELAY_RATE=120 -DNO_DRIFT_MARGIN"
expect broken "found out: everybody waits four fifths of what clocks 20 % off need" "$wide -DMARGIN=120 -DRELAY_RATE=120"
expect broken "found out: a verifier follows a relay that is behind the one before" "$calm -DNO_HELLO_CHECK"
expect broken "found out: a relay of a relay acknowledges for those behind it" "$calm -DCHAIN -DACK_AT_ONCE"
beside="$calm -DBESIDE -DSTEADY -DFEW"
expect holds "holds: a verifier asks another relay beside the one it follows" "$beside"
expect broken "found out: a relay that is asked beside another is behind it" "$beside -DNO_HELLO_CHECK"
expect broken "found out: an echo on the connection before counts for the one that is followed" "$beside -DHEARS_OLD"
expect broken "happens: a relay is left with a beat that it has not answered" "$beside -DREACH_BESIDE"
expect broken "happens: the relay knows and the verifier does not yet" "-DREACH_LATE"
expect broken "happens: a lease behind a relay survives a stop" "-DREACH_KEPT"
expect broken "happens: a lease outlives its relay" "-DREACH_ORPHAN"
expect broken "happens: a verifier moves to another relay with its lease" "$calm -DREACH_MOVED"
expect broken "happens: a stop completes through two relays" "$calm -DCHAIN -DREACH_DEEP"
model=lease.pml

# Everything together has more states than 4 GiB and five minutes allow: a sample of them, a minute long.
sample() {
  case $1 in *"$only"*) ;; *) return ;; esac
  search=-DBITSTATE
  limits="-w33 -Q1"
  verify "$2"
  if [ "$verdict" = holds ]; then count "ok  " "$1" "$states states, a sample"; else count FAIL "$1" "$verdict"; fi
}
sample "holds: two verifiers, two agents, two revocations, all at once" "-DNV=2 -DNE=2 -DNA=2 -DK=2 -DT=2 -DSLEEP"
model=relay.pml
sample "holds: two relays, two stops, everything breaks" "-DNR=2 -DNE=2 -DT=2 -DSERVER_DIES"

printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
