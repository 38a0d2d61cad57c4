#!/bin/sh
# Puts the policy tools into .cache/bin, built from pinned Go modules. Needs Go; nothing else of the project does.
set -eu
cd "$(dirname "$0")/.."

OPA=github.com/open-policy-agent/opa@v1.18.1
REGAL=github.com/open-policy-agent/regal@v0.38.1

command -v go >/dev/null 2>&1 || {
  echo "policies: Go is needed to build opa and regal; install it, or put opa 1.18.1 and regal 0.38.1 on PATH" >&2
  exit 1
}
bin=$PWD/.cache/bin
mkdir -p "$bin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A module of our own that requires the pinned one: checksums are verified, and no list of versions has to be served.
build() {
  module=$1
  name=$(basename "${module%@*}")
  [ -x "$bin/$name" ] && [ "$(cat "$bin/.$name" 2>/dev/null)" = "$module" ] && return
  echo "policies: building $module" >&2
  mkdir -p "$work/$name"
  (
    cd "$work/$name"
    printf 'module tools\n\ngo 1.26\n' >go.mod
    go mod edit -require "$module"
    go build -mod=mod -buildvcs=false -o "$bin/$name" "${module%@*}"
  )
  printf '%s' "$module" >"$bin/.$name"
}

build "$OPA"
build "$REGAL"
echo "$bin"
