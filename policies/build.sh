#!/bin/sh
# Compiles the built-in policy to Wasm, or with --check proves that what is checked in is what the source says.
#
#   policies/build.sh           writes decision.wasm and decision.json
#   policies/build.sh --check   rebuilds and compares, then formats, compiles, tests, lints and mutates
#
# Needs opa (OPA_BIN or PATH), for --check also regal (REGAL_BIN, PATH or beside opa) and node.
set -eu

OPA_VERSION=1.18.1
ENTRYPOINT=trustwarden/decision/result

cd "$(dirname "$0")"
fail() { echo "policies: $*" >&2; exit 1; }

OPA=${OPA_BIN:-$(command -v opa || true)}
[ -x "$OPA" ] || fail "opa $OPA_VERSION is needed: put it on PATH or name it in OPA_BIN"
found=$("$OPA" version | sed -n 's/^Version: //p')
[ "$found" = "$OPA_VERSION" ] || fail "opa $OPA_VERSION is needed for the same bytes, found $found"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() {
  "$OPA" build --target wasm --entrypoint "$ENTRYPOINT" --capabilities capabilities.json \
    --ignore '*_test.rego' --bundle trustwarden --output "$work/bundle.tar.gz"
  tar -xzPOf "$work/bundle.tar.gz" /policy.wasm > "$work/decision.wasm"
  "$OPA" build --target wasm --entrypoint custom/result --capabilities capabilities.json \
    --ignore '*_test.rego,*.wasm' --bundle examples/custom --output "$work/custom.tar.gz"
  tar -xzPOf "$work/custom.tar.gz" /policy.wasm > "$work/custom.wasm"
  cat > "$work/decision.json" <<EOF
{
  "source_sha256": "$(hash trustwarden/decision.rego)",
  "wasm_sha256": "$(hash "$work/decision.wasm")",
  "opa_version": "$OPA_VERSION",
  "entrypoints": ["$ENTRYPOINT"]
}
EOF
}

hash() {
  if command -v sha256sum > /dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

# Every built-in that reaches out, waits, or differs from run to run must not compile.
refuse_dangerous_builtins() {
  for call in 'http.send({"method": "get", "url": "http://127.0.0.1"})' 'opa.runtime()' 'net.lookup_ip_addr("localhost")' \
    'net.cidr_expand("10.0.0.0/8")' 'time.now_ns()' 'rand.intn("x", 9)' 'uuid.rfc4122("x")' 'numbers.range(1, 1000000000)' \
    'rego.parse_module("x", "package x")' 'io.jwt.decode("x")' 'trace("x")' 'walk(input)'; do
    printf 'package refused\n\nx := %s\n' "$call" > "$work/refused.rego"
    if message=$("$OPA" check --capabilities capabilities.json "$work/refused.rego" 2>&1); then
      fail "the capabilities allow $call"
    fi
    case $message in
      *"undefined function"*) ;;
      *) fail "$call is refused for another reason: $message" ;;
    esac
  done
}

check() {
  REGAL=${REGAL_BIN:-$(command -v regal || true)}
  [ -n "$REGAL" ] || REGAL=$(dirname "$OPA")/regal
  [ -x "$REGAL" ] || fail "regal is needed: put it on PATH, beside opa, or name it in REGAL_BIN"

  for file in decision.wasm decision.json; do
    cmp "$file" "$work/$file" || fail "$file is not what its source builds to: run policies/build.sh"
  done
  cmp examples/custom/policy.wasm "$work/custom.wasm" || fail "examples/custom/policy.wasm is not what its source builds to"
  "$OPA" fmt --fail --diff trustwarden examples opa
  "$OPA" check --strict trustwarden examples opa
  "$OPA" check --strict --capabilities capabilities.json --ignore '*_test.rego' trustwarden examples
  "$OPA" test --timeout 120s trustwarden examples
  "$REGAL" lint --config-file .regal/config.yaml trustwarden examples opa
  refuse_dangerous_builtins
  OPA_BIN=$OPA node mutation.ts
  OPA_BIN=$OPA node agreement.ts
  echo "policies: what is checked in is what the source says"
}

build
case ${1-} in
  --check) check ;;
  "")
    cp "$work/decision.wasm" "$work/decision.json" .
    cp "$work/custom.wasm" examples/custom/policy.wasm
    ;;
  *) fail "usage: build.sh [--check]" ;;
esac
