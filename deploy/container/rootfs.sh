#!/bin/sh
# The file system of the image, in a folder: the program, Node from the lockfile, and the few libraries that Node needs, taken
# out of Debian's packages. No shell, no package manager, no set-uid file.
#
#   deploy/container/rootfs.sh FOLDER      # an empty or absent folder; needs git, npm, apt-get and dpkg-deb (Debian 12)
set -eu
root=${1:?usage: rootfs.sh FOLDER}
source=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
[ ! -e "$root" ] || [ -z "$(ls -A "$root")" ] || { echo "rootfs.sh: $root is not empty" >&2; exit 1; }
mkdir -p "$root"
root=$(CDPATH='' cd -- "$root" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What is committed, and nothing else: no keys, no caches, no local changes.
app=$root/opt/trustwarden
mkdir -p "$app"
git -C "$source" archive HEAD LICENSE package.json package-lock.json core server sdk node cli adapters policies | tar -x -C "$app"
find "$app" \( -name '*.test.ts' -o -name '*.test.support.ts' \) -delete
(cd "$app" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error -w server -w cli -w node --include-workspace-root)

# Node is an optional dependency of the lockfile: one binary per platform.
mkdir -p "$app/bin"
node=$(find "$app/node_modules" -path '*/bin/node' -type f | head -n 1)
[ -n "$node" ] || { echo "rootfs.sh: the lockfile brought no Node for this platform" >&2; exit 1; }
mv "$node" "$app/bin/node"
rm -rf "${node%/bin/node}"

packages="libc6 libgcc-s1 libstdc++6 libatomic1 ca-certificates netbase"
(cd "$work" && apt-get download -qq $packages)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/debian"; done
for path in lib lib64 usr/lib usr/share/ca-certificates etc/protocols etc/services; do
  [ -e "$work/debian/$path" ] || continue
  mkdir -p "$root/$(dirname "$path")"
  cp -a "$work/debian/$path" "$root/$(dirname "$path")/"
done
rm -rf "$root/usr/lib/ssl" "$root/usr/lib/x86_64-linux-gnu/gconv" "$root/usr/lib/x86_64-linux-gnu/audit"
mkdir -p "$root/etc/ssl/certs"
find "$root/usr/share/ca-certificates" -name '*.crt' -exec cat {} + >"$root/etc/ssl/certs/ca-certificates.crt"

printf 'root:x:0:0:root:/:/sbin/nologin\ntrustwarden:x:65532:65532:TrustWarden:/var/lib/trustwarden:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\ntrustwarden:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/var/lib/trustwarden" "$root/var/lib/trustwarden-keys" "$root/etc/trustwarden"
chmod 1777 "$root/tmp"
chmod 0700 "$root/var/lib/trustwarden" "$root/var/lib/trustwarden-keys"
chown 65532:65532 "$root/var/lib/trustwarden" "$root/var/lib/trustwarden-keys"
# Nobody can write the program, and nothing raises rights.
find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
chmod -R go-w "$app"
du -sh "$root" | cut -f 1
