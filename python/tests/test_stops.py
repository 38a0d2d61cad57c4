"""A stop reaches what is at work: whoever listens hears of it, and connections to services are closed."""

from __future__ import annotations

import threading

from live import LiveServer
from trustwarden import AgentIdentity


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
