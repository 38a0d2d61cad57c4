"""The two SDKs have the same names and codes; `test/parity.test.ts` reads the text of both, this asks the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import trustwarden
from trustwarden._codes import ERRORS
from trustwarden.records import CONTROL_KINDS

ROOT = Path(__file__).resolve().parents[2]
PARITY: dict[str, dict[str, str]] = json.loads((ROOT / "python/parity.json").read_text())
EXPORTS = re.compile(r"export (?:type )?\{([^}]*)\} from")


def typescript_names() -> set[str]:
    """Exports of `sdk/index.ts`."""
    found = EXPORTS.findall((ROOT / "sdk/index.ts").read_text())
    names = (re.sub(r"^\s*type ", "", name).strip() for group in found for name in group.split(","))
    return {name for name in names if name}


def as_python(name: str) -> str:
    """`verifyAgent` is `verify_agent`; classes keep their names."""
    return name if name[0].isupper() else re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def test_every_name_of_the_other_sdk_is_here_or_stands_in_the_list_with_a_reason() -> None:
    names = typescript_names()
    assert len(names) > 60
    excused = {*PARITY["no_meaning_in_python"], *PARITY["not_yet_in_python"]}
    missing = {name for name in names if as_python(name) not in trustwarden.__all__}
    assert missing == {name for name in excused if "." not in name}


def test_every_name_that_only_this_sdk_has_stands_in_the_list_with_a_reason() -> None:
    known = {as_python(name) for name in typescript_names()}
    own = {name for name in trustwarden.__all__ if name not in known}
    assert own == {name for name in PARITY["only_in_python"] if "." not in name}


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in trustwarden.__all__:
        assert name == "ErrorCode" or getattr(trustwarden, name).__doc__


def test_the_codes_are_those_of_the_documentation() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    assert set(ERRORS) == documented


def test_the_kinds_of_control_events_are_the_same() -> None:
    text = (ROOT / "core/event.ts").read_text().partition("CONTROL_KINDS = [")[2].partition("]")[0]
    assert re.findall(r'"(\w+)"', text) == list(CONTROL_KINDS)
