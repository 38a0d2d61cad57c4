"""A stop reaches what is at work: whoever listens hears of it, and connections to services are closed."""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import Any

import pytest

from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError, TrustWardenWarning
from trustwarden.adapters._agent_run import RunEnded, acting_as
from trustwarden.adapters._core import Guard


def revoke(live: LiveServer, identity: AgentIdentity) -> None:
    target = {"kind": "instance", "id": identity.instance_id}
    live.admin("POST", "/v1/revocations", {"target": target, "reason": "stop"})


def test_who_listens_hears_of_a_stop_of_its_own_ancestor_and_of_no_other(
    live: LiveServer, orchestrator: AgentIdentity
) -> None:
    heard: dict[str, threading.Event] = {name: threading.Event() for name in ("child", "grandchild", "other", "gone")}
    child = orchestrator.spawn(name="child", scope=["read:transactions", "write:reports"])
    grandchild = child.spawn(name="grandchild", scope=["read:transactions"])
    other = orchestrator.spawn(name="other", scope=["read:transactions"])
    child.when_stopped(heard["child"].set)
    grandchild.when_stopped(heard["grandchild"].set)
    other.when_stopped(heard["other"].set)
    child.when_stopped(heard["gone"].set)()
    revoke(live, child)
    assert heard["child"].wait(60)
    assert heard["grandchild"].wait(60)
    revoke(live, other)
    assert heard["other"].wait(60)
    assert not heard["gone"].is_set()
    for identity in (grandchild, child, other):
        identity.close()


def test_a_listener_that_fails_keeps_no_other_from_hearing(live: LiveServer, orchestrator: AgentIdentity) -> None:
    child = orchestrator.spawn(name="failing", scope=["read:transactions"])
    heard = threading.Event()

    def fail_itself() -> None:
        raise ValueError("a listener of somebody else's")

    child.when_stopped(fail_itself)
    child.when_stopped(heard.set)
    revoke(live, child)
    assert heard.wait(60)
    child.close()


def test_a_closed_identity_is_watched_no_longer(orchestrator: AgentIdentity) -> None:
    watched = orchestrator._place.server.stops._watched  # pyright: ignore[reportPrivateUsage]
    child = orchestrator.spawn(name="closing", scope=["read:transactions"])
    child.when_stopped(lambda: None)
    assert len(watched) == 1
    child.close()
    child.when_stopped(lambda: None)
    assert len(watched) == 0


def test_a_list_is_read_again_only_when_it_has_changed(live: LiveServer, orchestrator: AgentIdentity) -> None:
    server = orchestrator._place.server  # pyright: ignore[reportPrivateUsage]
    first = server.read_changed("/v1/crl.pem", None)
    assert first is not None
    assert first.etag is not None
    assert server.read_changed("/v1/crl.pem", first.etag) is None
    child = orchestrator.spawn(name="stopped", scope=["read:transactions"])
    revoke(live, child)
    assert server.read_changed("/v1/crl.pem", first.etag) is not None
    child.close()


def outcome_of(live: LiveServer, agent: AgentIdentity) -> str:
    (event,) = live.events(agent=agent.id, kind="action")
    return event["outcome"]


def worker_of(orchestrator: AgentIdentity, name: str) -> AgentIdentity:
    return orchestrator.spawn(name=name, scope=["write:reports"])


@pytest.mark.filterwarnings("error::trustwarden.TrustWardenWarning")
def test_a_tool_that_a_stop_cuts_is_in_the_ledger_as_broken_off(live: LiveServer, orchestrator: AgentIdentity) -> None:
    worker = worker_of(orchestrator, "cut")
    guard = Guard(worker, actions={"report": "write:reports"})

    async def work() -> None:
        with acting_as(worker):
            call = await guard.call("report", {}, "1").adecided()
            async with call:
                await asyncio.to_thread(revoke, live, worker)
                await asyncio.sleep(60)

    with warnings.catch_warnings(record=True) as said, pytest.raises(RunEnded):
        asyncio.run(work())
    assert [str(each.message) for each in said if issubclass(each.category, TrustWardenWarning)] == []
    assert outcome_of(live, worker) == "aborted"
    worker.close()


@pytest.mark.parametrize("ends", ["with an error", "well"])
def test_an_act_that_ends_after_a_stop_is_broken_off_or_stays_open(
    live: LiveServer, orchestrator: AgentIdentity, ends: str
) -> None:
    worker, stopped = worker_of(orchestrator, f"ends-{ends.replace(' ', '-')}"), threading.Event()
    worker.when_stopped(stopped.set)

    def work() -> None:
        with worker.act("write:reports", "file://reports/q3"):
            revoke(live, worker)
            assert stopped.wait(60)
            if ends == "with an error":
                raise ValueError("a connection that was cut")

    told: dict[str, Any] = {"with an error": pytest.raises(ValueError), "well": pytest.warns(TrustWardenWarning)}
    with told[ends]:
        work()
    # That it came to a good end is not the word of a key that was stopped before.
    assert outcome_of(live, worker) == {"with an error": "aborted", "well": "pending"}[ends]
    with pytest.raises(TrustWardenError) as refused, worker.act("write:reports", "file://reports/q3"):
        pytest.fail("a stopped agent acted")
    assert refused.value.status == 401
    worker.close()
