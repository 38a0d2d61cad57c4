"""WIT-SVIDs: for a key of this process and this identity, proven by the bundle, and for nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError
from trustwarden._bytes import encode_base64url, parse_base64url
from trustwarden._crypto import format_p256_jwk, is_p256_signature, parse_p256_jwk
from trustwarden._json import JsonObject, encode_canonical_json
from trustwarden.bundle import TrustBundle
from trustwarden.keys import InstanceKey
from trustwarden.runtime import now_seconds
from trustwarden.spiffe import TrustDomain
from trustwarden.wit import verify_wit

ID = "spiffe://acme.test/team/desk/inst-01J"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentIdentity]:
    settings: Path = tmp_path_factory.mktemp("wit") / "server.json"
    settings.write_text(json.dumps({"workloadApi": {"witSvid": True}}))
    with closing(LiveServer("--config", str(settings))) as live:
        identity = AgentIdentity.create(name="desk", ticket=live.ticket("desk", ["read:rows"]))
        yield identity
        identity.close()


def test_a_token_is_for_a_key_of_this_process_and_is_no_bearers(agent: AgentIdentity) -> None:
    first, second = agent.wit(), agent.wit()
    claims = json.loads(parse_base64url(first.token.split(".")[1]))
    key = parse_p256_jwk(claims["cnf"]["jwk"])
    assert claims["sub"] == agent.id
    assert "aud" not in claims
    assert is_p256_signature(key, b"proof", first.sign(b"proof"))
    assert not is_p256_signature(key, b"proof", second.sign(b"proof"))
    assert now_seconds() < first.expires_at <= now_seconds() + 3600
    assert "InstanceKey" not in repr(first)


def test_a_server_that_does_not_issue_them_says_so(orchestrator: AgentIdentity) -> None:
    with pytest.raises(TrustWardenError) as refused:
        orchestrator.wit()
    assert refused.value.code == "wit_disabled"


def token_of(signer: InstanceKey, claims: JsonObject, header: JsonObject) -> str:
    text = ".".join(encode_base64url(encode_canonical_json(part)) for part in (header, claims))
    return f"{text}.{encode_base64url(signer.sign(text.encode()))}"


@pytest.mark.parametrize(
    ("header", "claims", "code"),
    [
        ({"typ": "JWT"}, {}, "svid_malformed"),
        ({"alg": "none"}, {}, "svid_malformed"),
        ({"jku": "https://evil.test"}, {}, "svid_malformed"),
        ({"kid": "other"}, {}, "svid_untrusted"),
        ({}, {"aud": "files"}, "svid_malformed"),
        ({}, {"cnf": {}}, "svid_malformed"),
        ({}, {"exp": "soon"}, "svid_malformed"),
        ({}, {"sub": ID + "x"}, "server_untrusted"),
        ({}, {"exp": 1}, "svid_expired"),
        ({}, {"nbf": 2**40}, "svid_not_yet_valid"),
        ({}, {"exp": 2**40}, "svid_too_long_lived"),
    ],
)
def test_no_other_token_is_taken(header: JsonObject, claims: JsonObject, code: str) -> None:
    issuer, own = InstanceKey(), InstanceKey()
    good: JsonObject = {
        "sub": ID,
        "exp": int(now_seconds()) + 300,
        "cnf": {"jwk": {**format_p256_jwk(own.public_key), "alg": "ES256"}},
    }
    head: JsonObject = {"alg": "ES256", "kid": "k", "typ": "wit+jwt"}
    domain = TrustDomain("acme.test")
    bundles = {domain: TrustBundle(domain, 0, (), wit_keys={"k": issuer.public_key})}

    def verify(token: str, thumbprint: str = own.thumbprint) -> int:
        return verify_wit(token, ID, thumbprint, bundles=bundles, now=now_seconds())

    assert verify(token_of(issuer, good, head)) == good["exp"]
    for signer, thumbprint in ((own, own.thumbprint), (issuer, issuer.thumbprint)):
        with pytest.raises(TrustWardenError):
            verify(token_of(signer, good, head), thumbprint)
    with pytest.raises(TrustWardenError) as refused:
        verify(token_of(issuer, {**good, **claims}, {**head, **header}))
    assert refused.value.code == code
