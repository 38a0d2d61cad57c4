#!/bin/sh
# Locks the extra "test" with hashes; the tests need Python 3.11 (hypothesis), the package itself 3.10. Needs uv.
set -eu
cd "$(dirname "$0")/.."
uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra test --no-header pyproject.toml --output-file requirements.txt
