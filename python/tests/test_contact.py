"""First contact: discovery that comes beside the bundle is worth what the proof says, and nothing before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from hostile import HostileService
from live import LiveServer
from trustwarden import TrustWardenError
from trustwarden._bytes import encode_base64url
from trustwarden._json import JsonObject
from trustwarden.contact import BroughtDiscovery, ServerAddress
from trustwarden.runtime import monotonic
from trustwarden.server import TrustServer, connect_server
from trustwarden.spiffe import parse_trust_domain


def address_of(live: LiveServer, url: str) -> ServerAddress:
    domain = parse_trust_domain(live.discovery["trust_domain"])
    return ServerAddress(url, domain, live.discovery["authorities_sha256"])


def beside(json_object: JsonObject) -> str:
    return encode_base64url(json.dumps(json_object).encode())


@pytest.fixture
def server(live: LiveServer) -> Iterator[TrustServer]:
    with closing(connect_server(address_of(live, live.url))) as connected:
        yield connected


def test_discovery_of_a_proven_server_is_its_own_or_refused(live: LiveServer, server: TrustServer) -> None:
    server.take_discovery(BroughtDiscovery(beside(live.discovery), monotonic()))
    before, keys = server.discovery, server.ledger_keys
    verifier = f"spiffe://{live.discovery['trust_domain']}/trustwarden/verifier/finance/inst-1"
    lies: list[JsonObject] = [
        {"trust_domain": "other.test"},
        {"server_id": verifier},
        {"stop_url": "http://127.0.0.1:7444"},
        {"log_vkey": f"x{live.discovery['log_vkey']}"},
    ]
    cases = [(beside({**live.discovery, **lie}), "server_untrusted") for lie in lies]
    cases += [(text, "server_unreachable") for text in (encode_base64url(b"not JSON"), "no base64url!")]
    for text, code in cases:
        with pytest.raises(TrustWardenError) as refused:
            server.take_discovery(BroughtDiscovery(text, monotonic()))
        assert (text, refused.value.code) == (text, code)
    assert server.discovery is before
    assert server.ledger_keys is keys


@pytest.mark.parametrize("is_readable", [True, False])
def test_whoever_is_not_proven_is_not_read(live: LiveServer, is_readable: bool) -> None:
    with closing(HostileService(live, "contact")) as service:
        told = beside(live.discovery) if is_readable else "no base64url!"
        bundle = live.read_text("/v1/bundle").encode()
        head = f"HTTP/1.1 200 OK\r\ntrustwarden-discovery: {told}\r\nContent-Length: {len(bundle)}\r\n\r\n"
        service.raw = head.encode() + bundle
        with pytest.raises(TrustWardenError) as refused:
            connect_server(address_of(live, service.url))
        assert refused.value.code == "server_untrusted"
        assert [request.split(b"\r\n")[0] for request in service.requests] == [b"GET /v1/bundle HTTP/1.1"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_too_busy_is_not_called_an_impostor(live: LiveServer, status: int) -> None:
    with closing(HostileService(live, "busy")) as service:
        body = b'{"error":{"code":"overloaded","message":"wait"}}'
        service.raw = f"HTTP/1.1 {status} Busy\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        with pytest.raises(TrustWardenError) as refused:
            connect_server(address_of(live, service.url))
        assert (refused.value.code, refused.value.details["status"]) == ("server_unreachable", status)


@pytest.mark.parametrize("status", [302, 404])
def test_what_answers_otherwise_is_not_called_the_server(live: LiveServer, status: int) -> None:
    with closing(HostileService(live, "other")) as service:
        service.raw = f"HTTP/1.1 {status} Elsewhere\r\nLocation: /\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        with pytest.raises(TrustWardenError) as refused:
            connect_server(address_of(live, service.url))
        assert (refused.value.code, refused.value.details["status"]) == ("server_untrusted", status)
