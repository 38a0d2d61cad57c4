from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from live import LiveServer
from trustwarden import AgentIdentity

README = Path(__file__).resolve().parents[1] / "README.md"
SCOPE = ["read:transactions", "write:ledger", "write:reports"]


@pytest.fixture
def live() -> Iterator[LiveServer]:
    """A server of its own: the names in the text are taken by other tests."""
    with closing(LiveServer()) as server:
        yield server


@pytest.fixture
def finance(live: LiveServer) -> Iterator[str]:
    """A service of its own."""
    with closing(live.start_finance()) as program:
        yield str(program.ready["url"])


def test_every_python_block_of_the_readme_runs_in_order(
    live: LiveServer, finance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8
    monkeypatch.setenv("TRUSTWARDEN_TICKET", live.ticket("orchestrator", SCOPE))
    names: dict[str, object] = {
        "finance_url": finance,
        "verifier_ticket": live.verifier_ticket("bank"),
        "evidence": live.read_bytes("/v1/evidence?since=2020-01-01T00:00:00Z"),
        "log_vkey": live.discovery["log_vkey"],
        "trust_bundle": live.read_text("/v1/bundle"),
    }
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "scope_not_subset delete:transactions\n" in printed
    assert "('scope_not_covered',)\n" in printed
    assert "200\n1\n" in printed
    assert "/trustwarden/server/" in printed.partition("200\n1\n")[2]


def test_the_readme_names_every_public_method_of_an_identity() -> None:
    text = README.read_text()
    for name in vars(AgentIdentity):
        is_twin = name.startswith("a") and name[1:] in vars(AgentIdentity)
        if not name.startswith("_") and not is_twin:
            assert name in text, name
