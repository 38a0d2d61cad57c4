#!/bin/sh
# Proves the README's promise on something like a machine that was never used: a clone of what is committed, an empty
# HOME, an environment with nothing in it, the system's own Node, and after the install no network but loopback.
#
#   test/clean-machine.sh            ./dev quickstart
#   test/clean-machine.sh --tests    ./dev test as well
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/home"
git clone -q "$root" "$place/clone"
cd "$place/clone"

# Only what every system has: no tool of the developer's is on this PATH.
clean() {
  env -i HOME="$place/home" PATH=/usr/local/bin:/usr/bin:/bin LANG=C "$@"
}

# Without a network where the kernel lets us make such a place; loopback stays, since the server listens there.
offline() {
  if unshare -rn true 2>/dev/null && command -v ip >/dev/null 2>&1; then
    clean unshare -rn sh -c 'ip link set lo up && exec "$@"' sh "$@"
  else
    echo "clean-machine: NO network namespace can be made here; this run may reach the network" >&2
    clean "$@"
  fi
}

echo "clean-machine: system node $(clean node --version), installing into an empty home"
clean ./dev warden --version
offline ./dev quickstart
[ "${1:-}" != --tests ] || offline ./dev test
[ -z "$(git status --porcelain)" ] || { echo "clean-machine: the run left files in the checkout:" >&2; git status --short >&2; exit 1; }
echo "clean-machine: everything the README promises works here"
