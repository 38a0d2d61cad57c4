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
for module in "$OPA" "$REGAL"; do
  name=$(basename "${module%@*}")
  stamp=$bin/.$name
  [ -x "$bin/$name" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$module" ] && continue
  echo "policies: building $module" >&2
  GOBIN=$bin GOFLAGS=-buildvcs=false go install "$module"
  printf '%s' "$module" >"$stamp"
done
echo "$bin"
