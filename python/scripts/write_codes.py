"""Writes `src/trustwarden/_codes.py` from `core/error.ts`, the one table of codes; `--check` only compares."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "python/src/trustwarden/_codes.py"
READ = 'import("./core/error.ts").then(({ ERRORS }) => console.log(JSON.stringify(ERRORS)))'
HEADER = '''"""Every error code, with its HTTP status and the sentence a stranger may read.

Written by `python/scripts/write_codes.py` from `core/error.ts`; not by hand.
"""

from __future__ import annotations

from typing import Literal

'''


def text_of_codes() -> str:
    """The module's text."""
    table: dict[str, dict[str, str | int]] = json.loads(
        subprocess.run(["node", "-e", READ], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    )
    literals = "".join(f"    {json.dumps(code)},\n" for code in table)
    rows = "".join(
        f"    {json.dumps(code)}: ({entry['status']}, {json.dumps(entry['message'])}),\n"
        for code, entry in table.items()
    )
    return (
        f"{HEADER}ErrorCode = Literal[\n{literals}]\n"
        '"""A stable machine-readable code."""\n\n'
        f"# fmt: off\nERRORS: dict[ErrorCode, tuple[int, str]] = {{\n{rows}}}\n# fmt: on\n"
        '"""HTTP status and public sentence of each code."""\n'
    )


def main() -> None:
    """Writes the module, or compares it."""
    text = text_of_codes()
    if "--check" not in sys.argv:
        TARGET.write_text(text)
    elif TARGET.read_text() != text:
        sys.exit("python/src/trustwarden/_codes.py is not what core/error.ts says; run write_codes.py")


if __name__ == "__main__":
    main()
