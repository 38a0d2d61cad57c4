from __future__ import annotations

import re
from pathlib import Path

import pytest

from live import LiveServer
from trustwarden import AgentIdentity

README = Path(__file__).resolve().parents[1] / "README.md"
SCOPE = ["read:transactions", "write:ledger", "write:reports"]


def test_every_python_block_of_the_readme_runs_in_order(
    live: LiveServer, finance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8
    monkeypatch.setenv("TRUSTWARDEN_TICKET", live.ticket("orchestrator", SCOPE))
    names: dict[str, object] = {"finance_url": finance}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "scope_not_subset delete:transactions\n" in printed
    assert "('scope_not_covered',)\n" in printed
    assert printed.endswith("200\n1\n")


def test_the_readme_names_every_public_method_of_an_identity() -> None:
    text = README.read_text()
    for name in vars(AgentIdentity):
        is_twin = name.startswith("a") and name[1:] in vars(AgentIdentity)
        if not name.startswith("_") and not is_twin:
            assert name in text, name
