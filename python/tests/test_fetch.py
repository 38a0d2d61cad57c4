from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from hostile import HostileService
from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError, plain_response
from trustwarden.client import EXTENSION, AgentClient, AsyncAgentClient
from trustwarden.fetch import Meaning


@pytest.fixture
def hostile(live: LiveServer) -> Iterator[HostileService]:
    with closing(HostileService(live, "rows")) as service:
        yield service


def refusal_of(agent: AgentIdentity, url: str, verifier: str | None = None) -> str:
    with pytest.raises(TrustWardenError) as failed:
        agent.fetch(url, verifier=verifier)
    return failed.value.code


def test_a_visit_is_decided_proven_and_recorded(live: LiveServer, finance: str, orchestrator: AgentIdentity) -> None:
    answer = orchestrator.fetch(f"{finance}/transactions", verifier="finance")
    assert (answer.status_code, len(answer.json()["transactions"]) > 0) == (200, True)
    kept = orchestrator.receipts[-1]
    assert (kept.allow, kept.action) == (True, "read:transactions")
    with orchestrator.act("write:reports", "file://reports/q3"):
        pass
    (event,) = [event for event in live.events() if event["event_id"] == kept.receipt.event_id]
    assert event["enforcement"] == "service"
    assert event["agent_identity"] == orchestrator.id


def test_a_body_is_bound_and_arrives(finance: str, orchestrator: AgentIdentity) -> None:
    row = {"account": "rent", "amountCents": 1, "memo": "from Python"}
    made = orchestrator.fetch(f"{finance}/transactions", method="POST", json=row)
    assert made.status_code in (200, 201), made.text
    assert orchestrator.receipts[-1].action == "write:transactions"


def test_a_denied_visit_is_an_answer_with_a_receipt_that_says_so(finance: str, orchestrator: AgentIdentity) -> None:
    answer = orchestrator.fetch(f"{finance}/transactions/1", method="DELETE")
    assert answer.status_code == 403
    assert not orchestrator.receipts[-1].allow


def test_another_meaning_than_the_services_own_is_refused_there(finance: str, orchestrator: AgentIdentity) -> None:
    answer = orchestrator.fetch(f"{finance}/transactions", action="write:reports", resource="file://reports")
    assert answer.status_code == 401


def test_what_the_service_does_not_list_is_not_asked(finance: str, orchestrator: AgentIdentity) -> None:
    assert refusal_of(orchestrator, f"{finance}/secrets") == "route_unknown"
    assert refusal_of(orchestrator, f"{finance}/transactions/..%2f") == "request_malformed"


def test_a_service_of_another_name_learns_nothing(hostile: HostileService, orchestrator: AgentIdentity) -> None:
    assert refusal_of(orchestrator, f"{hostile.url}/rows", verifier="finance") == "peer_untrusted"
    assert all(b"trustwarden-intent" not in request for request in hostile.requests)


def test_the_server_itself_is_no_service_and_gets_no_visit(live: LiveServer, orchestrator: AgentIdentity) -> None:
    events = orchestrator.fetch(f"{live.url}/v1/events?limit=1")
    assert events.status_code == 200
    assert refusal_of(orchestrator, f"{live.url}/v1/owners") == "route_unknown"


def test_plain_http_and_other_places_are_refused_before_anything_is_sent(orchestrator: AgentIdentity) -> None:
    assert refusal_of(orchestrator, "http://127.0.0.1:1/rows") == "peer_untrusted"
    assert refusal_of(orchestrator, "https://user:secret@127.0.0.1:1/rows") == "peer_untrusted"
    assert refusal_of(orchestrator, "https://127.0.0.1:1/rows") == "server_unreachable"


def test_a_service_that_speaks_for_another_is_refused(hostile: HostileService, orchestrator: AgentIdentity) -> None:
    hostile.verifier_in_routes = "spiffe://acme.test/trustwarden/verifier/finance/inst-1"
    assert refusal_of(orchestrator, f"{hostile.url}/rows") == "peer_untrusted"


def test_a_service_that_changes_its_identity_gets_no_intent_of_before(
    live: LiveServer, hostile: HostileService, orchestrator: AgentIdentity
) -> None:
    assert refusal_of(orchestrator, f"{hostile.url}/rows") == "server_unreachable"
    with closing(HostileService(live, "other")) as other:
        hostile._context = other._context  # pyright: ignore[reportPrivateUsage]
        seen = len(hostile.requests)
        assert refusal_of(orchestrator, f"{hostile.url}/rows") == "peer_untrusted"
        assert all(b"trustwarden-intent" not in request for request in hostile.requests[seen:])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\0\r\n\r\n",
        b"HTTP/1.1 600 Six\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
)
def test_nonsense_is_no_answer(hostile: HostileService, orchestrator: AgentIdentity, raw: bytes) -> None:
    hostile.raw = raw
    assert refusal_of(orchestrator, f"{hostile.url}/rows") in ("server_unreachable", "receipt_invalid")


@pytest.mark.parametrize(
    "head",
    [
        b"200 OK",
        b"302 Found\r\nLocation: https://127.0.0.1:1/",
        b"304 Not Modified",
        b"200 OK\r\nTrustWarden-Receipt: e30",
        b"200 OK\r\nTrustWarden-Receipt: " + b"A" * 20_000,
        b"403 Forbidden\r\nTrustWarden-Receipt: e30\r\nTrustWarden-Receipt: e30",
    ],
)
def test_no_success_and_no_claim_passes_without_a_receipt_that_holds(
    hostile: HostileService, orchestrator: AgentIdentity, head: bytes
) -> None:
    hostile.raw = b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n"
    assert refusal_of(orchestrator, f"{hostile.url}/rows") == "receipt_invalid"


def test_a_receipt_of_another_visit_proves_nothing(
    finance: str, hostile: HostileService, orchestrator: AgentIdentity
) -> None:
    honest = orchestrator.fetch(f"{finance}/transactions").headers["trustwarden-receipt"]
    hostile.raw = f"HTTP/1.1 200 OK\r\nTrustWarden-Receipt: {honest}\r\nContent-Length: 0\r\n\r\n".encode()
    assert refusal_of(orchestrator, f"{hostile.url}/rows") == "receipt_invalid"


def test_an_answer_is_never_decoded_unasked(hostile: HostileService, orchestrator: AgentIdentity) -> None:
    bomb = gzip.compress(b"\0" * 33_554_432)
    hostile.raw = b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb), bomb)
    assert orchestrator.fetch(f"{hostile.url}/rows").content == bomb
    with orchestrator.client() as client:
        with client.stream("GET", f"{hostile.url}/rows") as answer:
            assert b"".join(answer.iter_bytes()) == bomb
        assert client.get(f"{hostile.url}/rows").content == bomb

    async def main() -> bytes:
        async with orchestrator.async_client() as client:
            return (await client.get(f"{hostile.url}/rows")).content

    assert asyncio.run(main()) == bomb
    asked = {"accept-encoding": "gzip"}
    assert len(orchestrator.fetch(f"{hostile.url}/rows", headers=asked).content) == 33_554_432


def test_an_answer_without_an_end_is_given_up(
    hostile: HostileService, orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_response, "MAX_WHOLE_BYTES", 1_048_576)
    hostile.raw = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n%b\r\n" % (b"x" * 65_536) * 17
    assert refusal_of(orchestrator, f"{hostile.url}/rows") == "request_too_large"
    hostile.raw = b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nabc"
    monkeypatch.setattr(plain_response, "_PATIENCE", -1)
    assert refusal_of(orchestrator, f"{hostile.url}/rows") == "server_unreachable"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_no_variable_leads_an_agent_to_a_proxy(
    finance: str, hostile: HostileService, live: LiveServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, hostile.url.replace("https:", "http:"))
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    handshakes = hostile.handshakes
    with AgentIdentity.create(name="unproxied", ticket=live.ticket("unproxied", ["read:transactions"])) as agent:
        assert agent.fetch(f"{finance}/transactions").status_code == 200
        with agent.client(base_url=finance) as client:
            assert client.get("/transactions").status_code == 200
    assert hostile.handshakes == handshakes


def test_a_service_that_speaks_an_older_tls_is_nobody(hostile: HostileService, orchestrator: AgentIdentity) -> None:
    hostile._context.minimum_version = ssl.TLSVersion.TLSv1_2  # pyright: ignore[reportPrivateUsage]
    hostile._context.maximum_version = ssl.TLSVersion.TLSv1_2  # pyright: ignore[reportPrivateUsage]
    assert refusal_of(orchestrator, f"{hostile.url}/rows") in ("peer_untrusted", "server_unreachable")
    assert hostile.requests == []


def test_libraries_that_take_a_client_make_guarded_requests(finance: str, orchestrator: AgentIdentity) -> None:
    with orchestrator.client(base_url=finance) as client:
        answer = client.get("/transactions", extensions={EXTENSION: Meaning(job="quarter")})
        assert answer.status_code == 200
        with client.stream("GET", "/transactions") as streamed:
            assert b"".join(streamed.iter_bytes()) == answer.content
    assert [receipt.action for receipt in orchestrator.receipts] == ["read:transactions"] * 2


@pytest.mark.parametrize("option", ["cert", "mounts", "proxy", "transport", "verify"])
def test_a_client_takes_no_other_way_than_the_guarded_one(orchestrator: AgentIdentity, option: str) -> None:
    for make in (orchestrator.client, orchestrator.async_client):
        with pytest.raises(TypeError, match=option):
            make(**{option: None})


def test_a_client_follows_no_redirect_whoever_asks_for_it() -> None:
    def redirect(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"location": "https://elsewhere.test/"})

    async def visit() -> int:
        async with AsyncAgentClient(transport=httpx.MockTransport(redirect)) as client:
            return (await client.post("https://rows.test/", follow_redirects=True)).status_code

    with AgentClient(transport=httpx.MockTransport(redirect)) as client:
        assert client.post("https://rows.test/", follow_redirects=True).status_code == 307
        with client.stream("GET", "https://rows.test/", follow_redirects=True) as answer:
            assert answer.status_code == 307
    assert asyncio.run(visit()) == 307


def test_asyncio_visits_alike(finance: str, orchestrator: AgentIdentity) -> None:
    async def main() -> list[httpx.Response]:
        async with orchestrator.async_client(base_url=finance) as client:
            assert (await client.get("/transactions")).status_code == 200
        return await asyncio.gather(*(orchestrator.afetch(f"{finance}/transactions") for _ in range(8)))

    assert {answer.status_code for answer in asyncio.run(main())} == {200}
    assert len({receipt.receipt.event_id for receipt in orchestrator.receipts}) == 9
