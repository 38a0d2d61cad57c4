"""The golden vectors that `vectors/write.ts` makes: this package answers each as the TypeScript one does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from trustwarden import TrustWardenError
from vector_judges import VECTOR_JUDGES

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "vectors").glob("*.json"))


def test_there_are_vectors_to_judge() -> None:
    assert len(FILES) >= 13


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_case_comes_out_as_it_says(path: Path) -> None:
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    wrong = [
        (case["check"], case["name"], found, case["expect"])
        for case in cases
        if (found := _answer(case["check"], case["input"])) != case["expect"]
    ]
    assert cases
    assert wrong == []


def test_every_form_that_this_package_reads_or_writes_has_vectors_which_it_judges() -> None:
    forms: dict[str, dict[str, Any]] = json.loads((ROOT / "test/sdk-forms.json").read_text())
    source = "".join(path.read_text() for path in (ROOT / "python/src/trustwarden").rglob("*.py"))
    found = set(re.findall(r"(?:issue_envelope(?:_of)?|verify_envelope|require_signed)\([^)]*?\"([a-z-]+)\"", source))
    texts = set(re.findall(r'"(tw[a-z]?1\.)"', source))
    assert len(found) > 8
    assert texts
    assert found <= {*forms["dsse"], *forms["no_vector_yet"]}
    assert texts <= set(forms["texts"])
    checks = {check for kind in ("dsse", "texts", "others") for named in forms[kind].values() for check in named}
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [check for check in checks if check not in VECTOR_JUDGES and f'"{check}"' not in tests] == []


def _answer(check: str, given: dict[str, Any]) -> dict[str, object]:
    try:
        return {"value": VECTOR_JUDGES[check](given)}
    except TrustWardenError as error:
        return {"error": error.code}
