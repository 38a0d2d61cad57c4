#!/bin/sh
# Builds the image of a folder that rootfs.sh made, starts it as an orchestrator would (read-only root, no capabilities, volumes as the
# image makes them, a network of its own), and says what holds. No engine, no registry and no base image: Debian's buildah and runc.
#
#   deploy/container/try-image.sh FOLDER      # as root; ends with `N passed, N failed`
set -eu
context=${1:?usage: try-image.sh FOLDER}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
build() { buildah --storage-driver vfs --root "$work/images" --runroot "$work/run" "$@"; }
cleanup() {
  runc --root "$work/runc" delete --force warden >/dev/null 2>&1 || true
  build rm --all >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

build build --quiet --isolation chroot --file "$here/Containerfile" --tag trustwarden "$context" >/dev/null
container=$(build from trustwarden)
root=$(build mount "$container")
user=$(build inspect --type image --format '{{.OCIv1.Config.User}}' trustwarden)
# A volume begins as what the image has in its place.
cp -a "$root/var/lib/trustwarden" "$work/state"
cp -a "$root/var/lib/trustwarden-keys" "$work/keys"
cat >"$work/config.json" <<EOF
{"ociVersion": "1.0.2",
 "process": {"user": {"uid": ${user%:*}, "gid": ${user#*:}}, "cwd": "/var/lib/trustwarden", "noNewPrivileges": true, "capabilities": {},
  "args": ["/opt/trustwarden/bin/node", "/opt/trustwarden/cli/main.ts", "up", "--no-node"],
  "env": ["PATH=/opt/trustwarden/bin", "NODE_ENV=production", "TRUSTWARDEN_DATA_DIR=/var/lib/trustwarden",
   "TRUSTWARDEN_CONFIG_DIR=/var/lib/trustwarden-keys", "TRUSTWARDEN_TRUST_DOMAIN=acme.test"]},
 "root": {"path": "$root", "readonly": true},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
  {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec"]},
  {"destination": "/var/lib/trustwarden", "type": "bind", "source": "$work/state", "options": ["bind", "rw", "nosuid", "nodev"]},
  {"destination": "/var/lib/trustwarden-keys", "type": "bind", "source": "$work/keys", "options": ["bind", "rw", "nosuid", "nodev"]}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}]}}
EOF
runc --root "$work/runc" run --bundle "$work" warden >"$work/out" 2>"$work/errors" &
tries=0
until grep -q '"ready":true' "$work/out" || [ "$tries" -ge 120 ]; do
  tries=$((tries + 1))
  sleep 0.5
done

passed=0
failed=0
holds() {
  what=$1
  shift
  if "$@" >"$work/said" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "not ok $what: $(head -c 300 "$work/said")"
  fi
}
inside() { runc --root "$work/runc" exec warden /opt/trustwarden/bin/node "$@"; }
refused() { inside -e "try { require('node:fs').writeFileSync('$1', '') } catch ({ code }) { process.exit(code === 'EROFS' ? 0 : 1) } process.exit(1)"; }
status=/proc/$(runc --root "$work/runc" state warden | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')/status

holds "the server listens" grep -q '"ready":true' "$work/out"
holds "it is nobody's account but 65532" grep -Eq '^Uid:(	65532){4}$' "$status"
holds "it has no capability" sh -c "! grep -E '^Cap(Prm|Eff|Bnd):' '$status' | grep -qv '0000000000000000'"
holds "it comes to no more rights" grep -Eq '^NoNewPrivs:	1$' "$status"
holds "the program cannot be written" refused /opt/trustwarden/cli/x
holds "nor anything else of the root" refused /x
holds "an operator's command works inside" inside /opt/trustwarden/cli/main.ts owner create alice
holds "there is no shell" sh -c "[ ! -e '$root/bin/sh' ] && [ ! -e '$root/usr/bin/sh' ]"
holds "nothing raises rights" sh -c "[ -z \"\$(find '$root' -xdev -type f -perm /6000)\" ]"
[ "$failed" = 0 ] || cat "$work/errors"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
