"""The guard of a Python service, under unmodified servers, visited by the real TypeScript SDK and by a forger."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

import trustwarden
from bank_service import COMMANDS, Bank
from live import LiveServer
from trustwarden import (
    AgentIdentity,
    BroughtCall,
    ReceiptExpectations,
    Route,
    TrustWardenError,
    parse_receipt_header,
    verify_agent,
    verify_brought_call,
    verify_receipt,
)
from trustwarden._bytes import encode_base64url, parse_base64, parse_base64url
from trustwarden._crypto import sha256
from trustwarden.intent import BoundRequest
from trustwarden.keys import InstanceKey
from trustwarden.receipts import SigningLeaf
from trustwarden.tls import anonymous_context
from visitors import Forger, TypeScriptAgent, self_made_context

SCOPE = ["read:transactions", "write:transactions", "read:stream", "read:broken"]
_numbers = count()


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def bank(request: pytest.FixtureRequest, live: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    service = Bank(live, request.param, tmp_path_factory.mktemp("bank") / "log")
    yield service
    service.close()


@pytest.fixture(scope="module")
def visitor(live: LiveServer) -> Iterator[TypeScriptAgent]:
    agent = TypeScriptAgent(live, f"visitor-{next(_numbers)}", SCOPE)
    yield agent
    agent.close()


@pytest.fixture(scope="module")
def forger(live: LiveServer) -> Iterator[Forger]:
    agent = Forger(live, f"forger-{next(_numbers)}", SCOPE)
    yield agent
    agent.close()


def signed(bank: Bank, forger: Forger, **changes: Any) -> dict[str, str]:
    """Headers for a good write of `{}`."""
    request = changes.pop("request", BoundRequest("POST", "/transactions", b"{}"))
    said: dict[str, Any] = {
        "action": "write:transactions",
        "resource": "bank://ledger/transactions",
        "audience": bank.id,
        **changes,
    }
    return forger.sign(request, **said)


def test_an_allowed_visit_is_carried_out_once_and_its_end_is_in_the_ledger(
    bank: Bank, live: LiveServer, visitor: TypeScriptAgent
) -> None:
    answer = visitor.visit(f"{bank.url}/transactions", method="POST", body='{"amount":5}')
    assert answer["status"] == 200
    assert answer["receipts"] >= 1
    did = bank.done()[-1]
    assert did["agent"] == visitor.id
    assert did["did"] == "write:transactions"
    assert did["body"] == '{"amount":5}'
    assert eventually(lambda: outcome_of(live, visitor.id, "write:transactions") == "success")


def test_the_parameters_of_the_path_and_the_query_arrive(bank: Bank, visitor: TypeScriptAgent) -> None:
    answer = visitor.visit(f"{bank.url}/transactions/17?full=1")
    assert json.loads(answer["body"])["params"] == {"id": "17"}


def test_the_receipt_of_an_answer_is_the_guards_and_holds(bank: Bank, forger: Forger) -> None:
    answer = forger.send(f"{bank.url}/transactions", headers := signed(bank, forger), method="POST", body=b"{}")
    assert answer.status_code == 200
    receipt = parse_receipt_header(answer.headers["trustwarden-receipt"])
    leaf = forger.server.find_server_svid(json.loads(receipt.decision)["signatures"][0]["keyid"])
    intent = parse_base64url(headers["trustwarden-intent"])
    expected = ReceiptExpectations(
        server=SigningLeaf(leaf.sha256, leaf.public_key),
        log_vkey=forger.server.ledger_keys.vkey,
        intent_sha256=encode_base64url(sha256(intent)),
        enforcement="service",
    )
    assert verify_receipt(receipt, expected).decision.allow
    # As a service behind the bank would prove it, were it brought there.
    request = trustwarden.BoundRequest("POST", "/transactions", b"{}")
    call = BroughtCall(bank.id, request, {**headers, "trustwarden-receipt": answer.headers["trustwarden-receipt"]})
    known: dict[str, Any] = {"server": expected.server, "log_vkey": expected.log_vkey, "now": time.time()}
    assert verify_brought_call(call, **known).intent.aud == bank.id
    refused: list[tuple[BroughtCall, dict[str, Any]]] = [
        (replace(call, gateway=f"{bank.id}0"), known),
        (replace(call, request=replace(request, method="PUT")), known),
        (replace(call, request=replace(request, body=b"{} ")), known),
        (replace(call, headers={**call.headers, "trustwarden-intent": "e30"}), known),
        (replace(call, headers={**call.headers, "trustwarden-salt": encode_base64url(bytes(32))}), known),
        (replace(call, headers=headers), known),
        (call, {**known, "now": time.time() + 40}),
        (call, {**known, "now": float("nan")}),
    ]
    for other, facts in refused:
        with pytest.raises(TrustWardenError, match="receipt_invalid"):
            verify_brought_call(other, **facts)


def test_the_route_table_is_for_everybody(bank: Bank, forger: Forger) -> None:
    answer = forger.send(f"{bank.url}/.well-known/trustwarden-routes", {}, is_known=False)
    assert answer.json()["verifier"] == bank.id
    assert len(answer.json()["routes"]) == 10


Visit = Callable[[Bank, Forger], httpx.Response]


def _write(
    bank: Bank, forger: Forger, headers: dict[str, str], body: bytes = b"{}", is_known: bool = True
) -> httpx.Response:
    return forger.send(f"{bank.url}/transactions", headers, method="POST", body=body, is_known=is_known)


def _flipped(bank: Bank, forger: Forger) -> httpx.Response:
    headers = signed(bank, forger)
    intent = bytearray(parse_base64url(headers["trustwarden-intent"]))
    at = intent.index(b'"payload":"') + 60
    intent[at] = ord("A") if intent[at] != ord("A") else ord("B")
    return _write(bank, forger, {**headers, "trustwarden-intent": encode_base64url(bytes(intent))})


REFUSED: dict[str, tuple[int, set[str], Visit]] = {
    "no certificate": (
        401,
        {"no_svid"},
        lambda bank, forger: _write(bank, forger, signed(bank, forger), is_known=False),
    ),
    "no intent": (401, {"no_intent"}, lambda bank, forger: _write(bank, forger, {})),
    "a flipped intent": (401, {"signature_invalid", "json_malformed", "dsse_malformed", "request_malformed"}, _flipped),
    "another key": (
        401,
        {"signature_invalid"},
        lambda bank, forger: _write(bank, forger, signed(bank, forger, key=InstanceKey())),
    ),
    "another body": (
        401,
        {"intent_mismatch"},
        lambda bank, forger: _write(bank, forger, signed(bank, forger), body=b'{"amount":1}'),
    ),
    "another act": (
        401,
        {"intent_mismatch"},
        lambda bank, forger: _write(bank, forger, signed(bank, forger, action="read:transactions")),
    ),
    "another resource": (
        401,
        {"intent_mismatch"},
        lambda bank, forger: _write(bank, forger, signed(bank, forger, resource="bank://other/transactions")),
    ),
    "another service": (
        401,
        {"intent_audience"},
        lambda bank, forger: _write(
            bank, forger, signed(bank, forger, audience="spiffe://acme.test/trustwarden/verifier/x/inst-1")
        ),
    ),
    "an unknown route": (
        404,
        {"route_unknown"},
        lambda bank, forger: forger.send(f"{bank.url}/secrets", signed(bank, forger)),
    ),
    "a path with another reading": (
        400,
        {"request_malformed"},
        lambda bank, forger: forger.send(f"{bank.url}/transactions/%2e%2e", signed(bank, forger)),
    ),
    "a body without an end": (
        413,
        {"request_too_large"},
        lambda bank, forger: _write(bank, forger, signed(bank, forger), body=b"x" * 1_048_577),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_visit_that_is_not_proven_is_refused_and_nothing_is_done(bank: Bank, forger: Forger, case: str) -> None:
    status, codes, visit = REFUSED[case]
    before, done = len(bank.refused()), bank.acts_of(forger.id)
    answer = visit(bank, forger)
    assert answer.status_code in (status, 400)
    assert bank.acts_of(forger.id) == done
    (code,) = bank.refused()[before:]
    assert code in codes
    assert "trustwarden-receipt" not in answer.headers


def test_no_header_has_the_application_read_another_path_than_the_decided_one(bank: Bank, forger: Forger) -> None:
    # Gunicorn takes this header for the truth from whoever is on its own machine, as agents are.
    request, resource = BoundRequest("GET", "/transactions/broken", b""), "bank://ledger/transactions/broken"
    headers = signed(bank, forger, request=request, action="read:transactions", resource=resource)
    forger.send(f"{bank.url}/transactions/broken", {**headers, "SCRIPT_NAME": "/transactions"})
    assert {entry["path"] for entry in bank.done() if entry["resource"] == resource} <= {"/transactions/broken"}


def bent(token: str) -> dict[str, str]:
    """A token as a careless issuer, or a forger, would have it (D3, D4)."""
    head, payload, signature = token.split(".")
    claims = json.loads(parse_base64url(payload))
    honest = json.dumps(claims)
    payloads = {
        "no exp": json.dumps({name: value for name, value in claims.items() if name != "exp"}),
        "exp as text": json.dumps({**claims, "exp": str(claims["exp"])}),
        "exp 1e400": honest.replace(str(claims["exp"]), "1e400"),
        "nbf in the future": json.dumps({**claims, "nbf": claims["exp"]}),
        "no aud": json.dumps({name: value for name, value in claims.items() if name != "aud"}),
        "iss as a list": json.dumps({**claims, "iss": ["https://acme.test"]}),
        "two subs": honest.replace("{", '{"sub":"spiffe://acme.test/admin",', 1),
    }
    unsigned = encode_base64url(b'{"alg":"none"}')
    return {
        "as it is": token,
        "unsigned": f"{unsigned}.{payload}.",
        **{name: f"{head}.{encode_base64url(text.encode())}.{signature}" for name, text in payloads.items()},
    }


def test_stolen_credentials_are_worth_nothing_without_their_keys(bank: Bank, live: LiveServer, forger: Forger) -> None:
    name = f"victim-{next(_numbers)}"
    with closing(Forger(live, f"victim-{next(_numbers)}", SCOPE)) as victim:
        # The victim's intent over the thief's connection, and the victim's names under the thief's key.
        for headers in (signed(bank, victim), signed(bank, victim, key=forger.credential.key)):
            before = len(bank.refused())
            assert _write(bank, forger, headers).status_code == 401
            assert bank.refused()[before:][0] in ("signature_invalid", "svid_mismatch")
        assert bank.acts_of(victim.id) == 0
    with AgentIdentity.create(name=name, ticket=live.ticket(name, SCOPE)) as owner:
        tokens = bent(owner.jwt(bank.id))
        done = len(bank.done())
        for what, token in tokens.items():
            for is_known in (True, False):
                before = len(bank.refused())
                answer = _write(bank, forger, {"authorization": f"Bearer {token}"}, is_known=is_known)
                assert answer.status_code in (400, 401), what
                assert bank.refused()[before:] == ["no_intent" if is_known else "no_svid"], what
        assert len(bank.done()) == done


def test_an_intent_counts_once(bank: Bank, forger: Forger) -> None:
    headers, done = signed(bank, forger), bank.acts_of(forger.id)
    assert _write(bank, forger, headers).status_code == 200
    before = len(bank.refused())
    answer = _write(bank, forger, headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "principal_refused"
    assert bank.refused()[before:] == ["principal_refused"]
    assert bank.acts_of(forger.id) == done + 1


def test_a_certificate_of_another_trust_domain_does_not_get_a_connection(bank: Bank, forger: Forger) -> None:
    context, done = self_made_context("spiffe://other.test/team/pay/inst-1"), bank.acts_of(forger.id)
    with httpx.Client(verify=context) as client, pytest.raises((httpx.HTTPError, ssl.SSLError)):
        client.post(f"{bank.url}/transactions", headers=signed(bank, forger), content=b"{}")
    assert bank.acts_of(forger.id) == done


def test_what_is_out_of_scope_is_denied_with_a_receipt_that_says_so(bank: Bank, forger: Forger) -> None:
    request, resource = BoundRequest("DELETE", "/transactions/7", b""), "bank://ledger/transactions/7"
    headers = signed(bank, forger, request=request, action="delete:transactions", resource=resource)
    done = bank.acts_of(forger.id)
    answer = forger.send(f"{bank.url}/transactions/7", headers, method="DELETE")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "denied"
    decision = json.loads(parse_receipt_header(answer.headers["trustwarden-receipt"]).decision)
    assert b'"allow":false' in parse_base64(decision["payload"])
    assert bank.refused()[-1] == "denied"
    assert bank.acts_of(forger.id) == done


def test_a_revoked_agent_is_refused(bank: Bank, live: LiveServer) -> None:
    with closing(Forger(live, f"forger-{next(_numbers)}", SCOPE)) as forger:
        assert _write(bank, forger, signed(bank, forger)).status_code == 200
        headers = signed(bank, forger)
        revoke(live, forger.id)
        assert _write(bank, forger, headers).status_code in (401, 403)
        assert bank.acts_of(forger.id) == 1


def test_a_stream_is_cut_when_its_agent_is_revoked(bank: Bank, live: LiveServer) -> None:
    with closing(TypeScriptAgent(live, f"visitor-{next(_numbers)}", SCOPE)) as visitor:
        assert visitor.visit(f"{bank.url}/stream", isStream=True)["status"] == 200
        revoke(live, visitor.id)
        assert visitor.hear()["end"] == "broken"
        assert eventually(lambda: outcome_of(live, visitor.id, "read:stream") == "aborted")


def test_an_application_that_fails_is_no_success(bank: Bank, live: LiveServer, visitor: TypeScriptAgent) -> None:
    assert visitor.visit(f"{bank.url}/broken")["status"] == 500
    assert bank.refused()[-1] == "ValueError"
    assert eventually(lambda: outcome_of(live, visitor.id, "read:broken") == "failure")


@pytest.mark.parametrize("style", COMMANDS)
def test_without_news_of_revocations_everything_is_denied(style: str, tmp_path: Path) -> None:
    server = LiveServer()
    service = Bank(server, style, tmp_path / "log")
    forger = Forger(server, "forger", SCOPE)
    try:
        assert _write(service, forger, signed(service, forger)).status_code == 200
        server.close()
        answers: list[int] = []
        assert eventually(
            lambda: (
                bool(answers.append(_write(service, forger, signed(service, forger)).status_code))
                or "lease_expired" in service.refused()
            )
        )
        assert set(answers) <= {502, 503}
        assert len(service.done()) == 1
    finally:
        forger.close()
        service.close()


def revoke(live: LiveServer, spiffe_id: str) -> None:
    live.admin("POST", "/v1/revocations", {"target": {"kind": "instance", "id": spiffe_id}})


def outcome_of(live: LiveServer, agent: str, action: str) -> str | None:
    found = [event for event in live.events(agent=agent) if event["action"] == action]
    return found[0]["outcome"] if found else None


def eventually(is_so: Callable[[], bool], seconds: float = 60) -> bool:
    """Waits for a condition, for as long as a slow machine needs."""
    ends_at = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < ends_at:
        time.sleep(0.05)
    return found


def test_new_connections_are_shown_the_renewed_svid(live: LiveServer) -> None:
    with verify_agent([Route("GET", "/a", "read:a", "bank://a")], ticket=live.verifier_ticket("renewing")) as guard:
        before = shown_by(guard.ssl_context)
        assert shown_by(guard.ssl_context) == before
        guard.renew()
        assert shown_by(guard.ssl_context) != before


def shown_by(context: ssl.SSLContext) -> bytes:
    """The certificate of a server, to a client that names no host, as agents do that call an address."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = anonymous_context().wrap_bio(to_client, to_server)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    certificate = client.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate
