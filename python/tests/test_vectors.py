"""The golden vectors that `vectors/write.ts` makes: this package answers each as the TypeScript one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trustwarden import TrustWardenError
from vector_judges import VECTOR_JUDGES

FILES = sorted((Path(__file__).resolve().parents[2] / "vectors").glob("*.json"))


def test_there_are_vectors_to_judge() -> None:
    assert len(FILES) >= 7


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


def _answer(check: str, given: dict[str, Any]) -> dict[str, object]:
    try:
        return {"value": VECTOR_JUDGES[check](given)}
    except TrustWardenError as error:
        return {"error": error.code}
