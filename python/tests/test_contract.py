"""The contract that both SDKs keep against a real server: `test/sdk-contract.json`, which TypeScript reads too."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from live import ROOT, LiveServer
from trustwarden import AgentIdentity, TrustWardenError

ROWS: list[dict[str, Any]] = json.loads((ROOT / "test/sdk-contract.json").read_text())["rows"]
PATIENCE = 20
TOO_LATE = ("lease_expired", 503)
"""What a loaded machine decides too late is a refusal, as it must be; nothing was done, and it is asked for again."""
_numbers = count()


class PlannedError(Exception):
    """What an act itself raises."""


class Stage:
    """The identities of one row, by their names in it, and how each step ends."""

    def __init__(self, live: LiveServer, service: str) -> None:
        self._live = live
        self._service = service
        self._name = f"contract-{next(_numbers)}"
        self._tickets: dict[str, str] = {}
        self._made: dict[str, AgentIdentity] = {}

    def play(self, step: dict[str, Any]) -> str | int:
        """`ok`, the status of an answer, `failed` for an act that failed by itself, or the code of a refusal."""
        ended: str | int = ""
        moves: dict[str, Callable[[dict[str, Any]], str | int | None]] = {
            "create": self._create,
            "spawn": self._spawn,
            "delegate": self._delegate,
            "act": self._act,
            "fetch": self._fetch,
            "jwt": self._jwt,
            "wit": lambda step: void(self._made[step["who"]].wit()),
            "renew": lambda step: self._made[step["who"]].renew(),
            "receipts": self._receipts,
            "hear": self._hear,
            "revoke": self._revoke,
            "stop": self._stop,
            "close": self._close,
        }
        for _ in range(PATIENCE):
            try:
                ended = moves[step["do"]](step) or "ok"
            except PlannedError:
                ended = "failed"
            except TrustWardenError as error:
                ended = error.code
            if ended not in TOO_LATE:
                break
        return ended

    def records(self) -> list[list[str]]:
        """What the ledger has of the first identity and those below it."""
        return records_of(self._live, self._made["root"])

    def close(self) -> None:
        for identity in self._made.values():
            identity.close()

    def _create(self, step: dict[str, Any]) -> None:
        name = f"{self._name}-{step.get('ticket', 'root')}"
        ticket = self._tickets.get(name) or self._live.ticket(name, step["scope"], limits=step.get("limits"))
        self._tickets[name] = ticket
        self._made[step["who"]] = AgentIdentity.create(
            name=step.get("name", name), ticket=ticket, scope=step.get("claimed")
        )

    def _spawn(self, step: dict[str, Any]) -> None:
        parent = self._made[step["who"]]
        name = step.get("name", f"{self._name}-{step['new']}")
        self._made[step["new"]] = parent.spawn(name=name, scope=step["scope"], ttl=step.get("ttl"))

    def _act(self, step: dict[str, Any]) -> None:
        with self._made[step["who"]].act(step["action"], step["resource"], step.get("params", {})):
            if step.get("fails"):
                raise PlannedError

    def _delegate(self, step: dict[str, Any]) -> None:
        """As between two processes: nothing but texts goes from one to the other."""
        asking = AgentIdentity.request(name=f"{self._name}-{step['new']}", scope=step["scope"])
        grant = self._made[step["who"]].grant(asking.text)
        child = asking.complete(grant)
        if step.get("twice"):
            child.close()
            child = asking.complete(grant)
        self._made[step["new"]] = child

    def _receipts(self, step: dict[str, Any]) -> str:
        return " ".join("allow" if receipt.allow else "deny" for receipt in self._made[step["who"]].receipts)

    def _hear(self, step: dict[str, Any]) -> None:
        heard = threading.Event()
        forget = self._made[step["who"]].when_stopped(heard.set)
        self._stop(step)
        assert heard.wait(20)
        forget()

    def _fetch(self, step: dict[str, Any]) -> int:
        said = {name: step[name] for name in ("action", "verifier") if name in step}
        url = self._service + step["path"]
        return self._made[step["who"]].fetch(url, method=step["method"], **said).status_code

    def _jwt(self, step: dict[str, Any]) -> None:
        assert self._made[step["who"]].jwt(step["audience"]).count(".") == 2

    def _revoke(self, step: dict[str, Any]) -> None:
        self._made[step["who"]].revoke("contract")

    def _stop(self, step: dict[str, Any]) -> None:
        self._made[step["by"]].revoke("contract", child=self._made[step["who"]])

    def _close(self, step: dict[str, Any]) -> None:
        self._made[step["who"]].close()


def void(_: object) -> None:
    """Nothing of it is looked at."""


def records_of(live: LiveServer, identity: AgentIdentity) -> list[list[str]]:
    """Action, or kind of event, and outcome of what the ledger has of an agent and those below it, oldest first."""
    events = live.events(subtree=identity.agent_id, limit="100")
    finished = [event for event in reversed(events) if event["outcome"] != "pending"]
    return [[str(event["action"] or event["kind"]), str(event["outcome"])] for event in finished]


@pytest.fixture(scope="module")
def bystander(live: LiveServer) -> Iterator[AgentIdentity]:
    with AgentIdentity.create(name="bystander", ticket=live.ticket("bystander", ["read:transactions"])) as identity:
        yield identity


def let_the_ledger_catch_up(live: LiveServer, bystander: AgentIdentity, service: str) -> None:
    """Whatever was reported before is in the ledger, and in its index, once a later visit of somebody else is."""
    ends_at, before = time.monotonic() + 30, len(records_of(live, bystander))
    while bystander.fetch(f"{service}/transactions").status_code != 200:
        assert time.monotonic() < ends_at
    while len(records_of(live, bystander)) == before:
        assert time.monotonic() < ends_at
        time.sleep(0.02)


@pytest.mark.parametrize("row", ROWS, ids=[row["what"] for row in ROWS])
def test_it_is_kept(row: dict[str, Any], live: LiveServer, finance: str, bystander: AgentIdentity) -> None:
    stage = Stage(live, finance)
    ends = [stage.play(step) for step in row["steps"]]
    assert ends == [step["ends"] for step in row["steps"]]
    stage.close()
    let_the_ledger_catch_up(live, bystander, finance)
    assert row["ledger"]
    assert stage.records() == row["ledger"]
