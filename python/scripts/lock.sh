#!/bin/sh
# Locks the extra "test" with hashes, for Python 3.10 and later, like the package itself. Needs uv.
set -eu
cd "$(dirname "$0")/.."
uv pip compile --quiet --universal --generate-hashes --python-version 3.10 --extra test --no-header pyproject.toml --output-file requirements.txt
