"""A Python service behind real relays, and its questions about a visitor; `test/relays.test.ts` is about the relays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from live import WARDEN, LiveServer, Program
from trustwarden import AgentIdentity, Question, Route, TrustWardenError, verify_agent
from trustwarden.service.frames import EchoFrame, HelloFrame, RevocationTarget, parse_server_frame
from trustwarden.service.lease import Lease
from trustwarden.service.lease_places import LeasePlaces
from trustwarden.service.view import Instant, RevocationView
from trustwarden.tls import PeerCheck
from trustwarden.transport import Origin

ROUTES = [Route("GET", "/a", "read:a", "bank://a")]
_numbers = count()


def open_relay(live: LiveServer) -> Program:
    body = {"name": "rack-7", "ttl_seconds": 3600, "relay": True}
    ticket = live.admin("POST", "/v1/verifier-tickets", body)["ticket"]
    return Program([WARDEN, "relay", "serve", "--listen", "127.0.0.1:0"], {"TRUSTWARDEN_TICKET": ticket})


@pytest.fixture
def relays(live: LiveServer) -> Iterator[list[Program]]:
    opened = [open_relay(live), open_relay(live)]
    yield opened
    for relay in opened:
        relay.close()


def url_of(relay: Program) -> str:
    return str(relay.ready["url"])


def leases_of(live: LiveServer) -> int:
    return int(live.admin("GET", "/v1/leases")["leases"])


def lease_of(guard: Any) -> Lease:
    return guard._opened.reception.lease


def code_of(call: Callable[[], object]) -> str:
    try:
        call()
    except TrustWardenError as error:
        return error.code
    return "none"


def eventually(is_so: Callable[[], bool], seconds: float = 60) -> bool:
    ends_at = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < ends_at:
        time.sleep(0.05)
    return found


def test_a_service_behind_relays_hears_of_a_stop_and_moves_to_the_next(live: LiveServer, relays: list[Program]) -> None:
    ticket = live.verifier_ticket("behind")
    with verify_agent(ROUTES, ticket=ticket, relays=[url_of(relay) for relay in relays]) as guard:
        lease = lease_of(guard)
        at: int = lease._places._next  # pyright: ignore[reportPrivateUsage]
        agent = AgentIdentity.create(name="worker", ticket=live.ticket("worker", ["read:a"]))
        epoch: int = live.admin("GET", "/v1/leases")["epoch"]
        agent.revoke("enough")
        assert eventually(lambda: code_of(lambda: lease.require_untouched(epoch, [agent.instance_id])) != "none")
        assert eventually(lambda: code_of(lease.require_fresh) == "none")
        relays[at].close()
        assert eventually(lambda: lease._places._next != at)  # pyright: ignore[reportPrivateUsage]
        assert eventually(lambda: code_of(lease.require_fresh) == "none")
        again = live.admin("POST", "/v1/revocations", {"target": {"kind": "instance", "id": guard.id}})
        assert again["instances"] == 1
        assert eventually(lambda: code_of(lease.require_fresh) == "lease_expired")


def test_who_is_no_relay_is_not_taken_for_one(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease.wait_ready, "__defaults__", (3.0,))
    for url in (live.discovery["stop_url"], live.url):
        monkeypatch.setenv("TRUSTWARDEN_RELAYS", url)
        with pytest.raises(TrustWardenError) as refused:
            verify_agent(ROUTES, ticket=live.verifier_ticket("misled"))
        assert refused.value.code == "server_untrusted"


@pytest.mark.parametrize(
    ("relays", "code"), [(["https://10.0.0.1:1"] * 65, "config_invalid"), (["http://10.0.0.1:1"], "server_untrusted")]
)
def test_relays_that_cannot_be_used_cost_no_ticket(live: LiveServer, relays: list[str], code: str) -> None:
    ticket = live.verifier_ticket("careful")
    with pytest.raises(TrustWardenError) as refused:
        verify_agent(ROUTES, ticket=ticket, relays=relays)
    assert refused.value.code == code
    verify_agent(ROUTES, ticket=ticket).close()


def test_a_relay_that_was_stopped_is_not_gone_back_to(live: LiveServer, orchestrator: AgentIdentity) -> None:
    server = orchestrator._place.server  # pyright: ignore[reportPrivateUsage]
    check = PeerCheck(lambda: server.bundle, lambda _: False)
    places = LeasePlaces(lambda: Origin("127.0.0.1", 1), [Origin("127.0.0.1", 2)], check)
    relay = f"spiffe://{server.trust_domain}/trustwarden/relay/rack-7/inst-01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert not places.refuse_stopped([RevocationTarget("instance", "inst-01ARZ3NDEKTSV4RRFFQ69G5FAV")])
    assert places.check.accept_peer(relay)
    assert not places.check.accept_peer(relay.replace("/relay/", "/verifier/"))
    assert not places.check.accept_peer(relay.replace(str(server.trust_domain), "other.test"))
    assert not places.refuse_stopped([RevocationTarget("instance", "inst-other")])
    assert places.refuse_stopped([RevocationTarget("instance", "inst-01ARZ3NDEKTSV4RRFFQ69G5FAV")])
    assert not places.check.accept_peer(relay)


def test_a_relay_that_keeps_stops_to_itself_is_found_out_by_the_servers_decisions(
    live: LiveServer, relays: list[Program]
) -> None:
    with verify_agent(ROUTES, ticket=live.verifier_ticket("kept"), relays=[url_of(relays[0])]) as guard:
        lease = lease_of(guard)
        later = live.admin("GET", "/v1/leases")["epoch"] + 5
        assert eventually(lambda: code_of(lease.require_fresh) == "none")
        lease.require_untouched(later, [])
        assert eventually(lambda: code_of(lease.require_fresh) == "lease_expired", 5)
        # Another connection, whose relay is as far as the server is: nothing was kept back after all.
        assert eventually(lambda: lease._view.epoch >= later - 5)  # pyright: ignore[reportPrivateUsage]


def test_a_lease_is_never_longer_than_the_relay_says() -> None:
    view = RevocationView()
    view.on_connect()
    view.on_frame(HelloFrame(3, 700, 0))
    view.on_sent("a", Instant(0, 0))
    view.on_frame(EchoFrame("a", 3, 0, 100))
    view.require_fresh(Instant(99, 99))
    assert code_of(lambda: view.require_fresh(Instant(100, 100))) == "lease_expired"
    view.on_sent("b", Instant(200, 200))
    view.on_frame(EchoFrame("b", 3, 0, 600))
    view.on_sent("c", Instant(300, 300))
    view.on_frame(EchoFrame("c", 3, 0, 10))
    view.require_fresh(Instant(799, 799))
    assert code_of(lambda: view.require_fresh(Instant(800, 800))) == "lease_expired"
    nonce = "A" * 22
    for lease_ms in ("0", "701", "-1", '"1"', "1.5", "null"):
        line = f'{{"echo":"{nonce}","epoch":1,"seq":0,"lease_ms":{lease_ms}}}'
        assert code_of(lambda line=line: parse_server_frame(line)) == "request_malformed", lease_ms


def test_a_service_asks_what_else_its_visitor_may_do(live: LiveServer) -> None:
    name = f"asked-{next(_numbers)}"
    scope = ["read:transactions", "write:reports"]
    with (
        verify_agent(ROUTES, ticket=live.verifier_ticket("asking")) as guard,
        AgentIdentity.create(name=name, ticket=live.ticket(name, scope)) as agent,
    ):
        asked = [
            Question("read:transactions", "db://transactions"),
            Question("delete:transactions", "db://transactions"),
            Question("write:reports", "file://q3", {"pages": 3}),
        ]
        answers = guard.evaluate(agent.id, asked)
        assert [answer.allow for answer in answers] == [True, False, True]
        assert answers[1].reasons
        kinds = {event["event_id"]: event["kind"] for event in live.events(limit="100")}
        assert [kinds[answer.event_id] for answer in answers] == ["evaluation"] * 3
        assert len(guard.evaluate(agent.id, asked * 40)) == 120
        assert guard.evaluate(agent.id, []) == ()
        assert code_of(lambda: guard.evaluate(agent.id, [Question("read", "db://x")])) == "action_malformed"
        agent.revoke("enough")
        assert not any(answer.allow for answer in guard.evaluate(agent.id, asked))
    assert code_of(lambda: guard.evaluate(agent.id, asked)) in ("lease_expired", "identity_closed", "identity_revoked")
