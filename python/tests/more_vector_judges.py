"""Answers the questions about how agents come, their tokens, and what they sign, with the code of this package."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from trustwarden._bytes import encode_base64url, parse_base64
from trustwarden._crypto import parse_p256_public_key, sha256
from trustwarden._json import JsonObject
from trustwarden.answers import IdentityAnswer, Members
from trustwarden.brought import BroughtCall, verify_brought_call
from trustwarden.bundle import parse_bundle_map, parse_trust_bundle
from trustwarden.claim import Wish, digest_of_wish, require_asked, wish_of
from trustwarden.contact import ServerAddress
from trustwarden.dsse import parse_envelope, verify_envelope
from trustwarden.enrol import issue_possession, read_grant, read_ticket
from trustwarden.foreign import read_registration
from trustwarden.grant import Wanted, format_request, issue_grant, parse_request, require_ticket_for
from trustwarden.intent import BoundRequest, IntentDraft, IntentWriter, commit_to_params, commit_to_request
from trustwarden.jwt_svid import verify_jwt_svid
from trustwarden.keys import InstanceKey
from trustwarden.outcomes import issue_outcome
from trustwarden.receipts import Receipt, SigningLeaf
from trustwarden.records import seconds_of
from trustwarden.spiffe import parse_trust_domain
from trustwarden.succession import require_succession
from trustwarden.wit import verify_wit
from trustwarden.work import work_bits_of
from trustwarden.workload_api.answers import parse_key_sets

Given = Mapping[str, Any]


def _key_of(given: Given) -> InstanceKey:
    private = load_der_private_key(parse_base64(given["key"]), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return InstanceKey(private)


def _opened(text: str, name: str, key: InstanceKey) -> tuple[str, dict[str, Any]]:
    """What was signed just now, proven by the key that was given."""
    envelope = parse_envelope(text)
    return envelope.unverified_keyid, dict(verify_envelope(envelope, name, key.public_key))


def _address(address: ServerAddress) -> dict[str, object]:
    return {
        "server": address.url,
        "authorities_sha256": address.authorities_sha256,
        "trust_domain": address.trust_domain,
    }


def _key_sets(given: Given, trust_domain: str) -> Any:
    data = json.dumps({"keys": given["keys"]}).encode()
    return parse_key_sets({f"spiffe://{trust_domain}": data}, "jwt-svid")


def _jwt_svid(given: Given) -> object:
    bundles = _key_sets(given, given["trust_domain"])
    svid = verify_jwt_svid(given["token"], audience=[given["audience"]], bundles=bundles, now=given["now"])
    return {"id": svid.id, "audience": list(svid.audience), "expires_at": svid.expires_at}


def _jwt_keys(given: Given) -> object:
    (bundle,) = _key_sets(given, "acme.test").values()
    return sorted(bundle.jwt_keys)


def _wit_svid(given: Given) -> object:
    domain = parse_trust_domain(given["trust_domain"])
    bundles = {domain: parse_trust_bundle(given["bundle"], domain)}
    expires_at = verify_wit(given["token"], given["id"], given["thumbprint"], bundles=bundles, now=given["now"])
    return {"expires_at": expires_at}


def _succession(given: Given) -> object:
    domain = parse_trust_domain(given["trust_domain"])
    require_succession(given["texts"], domain, pin=given["pin"], target=given["target"])
    return None


def _bundle_map(given: Given) -> object:
    found = parse_bundle_map(given["text"])
    return sorted([name, bundle.sequence, len(bundle.x509_authorities)] for name, bundle in found.items())


def _ticket(given: Given) -> object:
    held = read_ticket(given["text"])
    expected = require_ticket_for(Wanted(given["name"], given["scope"], given["ttl"]), held.unverified)
    return {**_address(held.address), "scope": list(expected.scope)}


def _child_request(given: Given) -> object:
    wanted, thumbprint = parse_request(given["text"])
    assert wanted.scope is not None
    return {
        "name": wanted.name,
        "scope": list(wanted.scope),
        "ttl": wanted.ttl,
        "limits": wanted.limits,
        "thumbprint": thumbprint,
    }


def _child_request_written(given: Given) -> object:
    return format_request(_wanted(given), given["thumbprint"])[0]


def _grant(given: Given) -> object:
    held = read_grant(given["text"])
    return {**_address(held.address), "grant": held.envelope}


def _grant_written(given: Given) -> object:
    key, domain = _key_of(given), parse_trust_domain(given["trust_domain"])
    limits = given["parent"]["limits"]
    parent = IdentityAnswer(
        spiffe_id=given["parent"]["spiffe_id"],
        agent_id="agt_pay",
        instance_id="inst-01J",
        name="pay",
        path=given["parent"]["path"],
        scope=(),
        depth=limits["depth"],
        fan_out=limits["fan_out"],
        budget=limits["budget"],
        chain=(),
        svid_chain=(),
        instance_expires_at=0,
        ttl_shortened=False,
    )
    credential = SimpleNamespace(key=key, svid=SimpleNamespace(leaf=SimpleNamespace(sha256=given["svid_sha256"])))
    server = SimpleNamespace(
        trust_domain=domain,
        address=ServerAddress(given["server"], domain, "another set, of before"),
        bundle=parse_trust_bundle(given["bundle"], domain),
    )
    granted = issue_grant(
        _wanted(given["wanted"]), given["thumbprint"], parent, cast("Any", credential), cast("Any", server)
    )
    keyid, signed = _opened(granted.envelope, "grant", key)
    held = read_grant(granted.text)
    assert held.envelope == granted.envelope
    del signed["jti"]
    return {
        "lasts": signed.pop("exp") - signed.pop("iat"),
        "keyid": keyid,
        "server": held.address.url,
        "authorities_sha256": held.address.authorities_sha256,
        "signed": signed,
    }


def _registration(given: Given) -> object:
    registration = read_registration(given["text"])
    answer = registration.answer
    return {
        **_address(registration.address),
        "agentId": registration.agent_id,
        "spiffeId": answer.spiffe_id,
        "instanceId": answer.instance_id,
        "name": answer.name,
        "path": answer.path,
        "scope": list(answer.scope),
        "chain": list(answer.chain),
        "expiresAt": answer.instance_expires_at,
    }


def _claimed_ticket(given: Given) -> object:
    claimed = Members({"ticket": given["ticket"], "owner_id": given["owner_id"]})
    expected = require_asked(claimed, wish_of(_wish(given["wish"])), given["thumbprint"])
    return {"name": expected.name, "scope": list(expected.scope)}


def _possession_written(given: Given) -> object:
    key = _key_of(given)
    keyid, signed = _opened(issue_possession(given["nonce"], given["enrolment_sha256"], key), "possession", key)
    return {"keyid": keyid, "signed": signed}


def _intents_written(given: Given) -> object:
    """`prev` is said in words: the one before is signed at another moment each time."""
    key, before = _key_of(given), None
    writer = IntentWriter(given["agent_id"], lambda: given["seen"])
    found: list[object] = []
    for one in given["drafts"]:
        draft = IntentDraft(**one)
        written = writer.sign(draft, given["spiffe_id"], given["svid_sha256"], key)
        keyid, signed = _opened(written.envelope, "intent", key)
        if before is not None and signed["prev"] == before:
            signed["prev"] = "of the one before"
        before = encode_base64url(sha256(parse_envelope(written.envelope).payload))
        del signed["event_id"]
        lasts = signed.pop("exp") - seconds_of(signed.pop("time"))
        found.append({"keyid": keyid, "lasts": lasts, "signed": signed})
    return found


def _params_commitment(given: Given) -> object:
    return commit_to_params(cast("JsonObject", given["params"]), parse_base64(given["salt"]))


def _request_commitment(given: Given) -> object:
    request = BoundRequest(given["method"], given["target"], parse_base64(given["body"]))
    return commit_to_request(request, parse_base64(given["salt"]))


def _outcome_written(given: Given) -> object:
    key = _key_of(given)
    receipt = Receipt(decision="", acknowledgement="", **given["receipt"])
    seconds = given["ms"] / 1000
    text = issue_outcome(receipt, given["status"], key, given["keyid"], size=given["bytes"], seconds=seconds)
    keyid, signed = _opened(text, "outcome", key)
    del signed["time"]
    return {"keyid": keyid, "signed": signed}


def _brought_call(given: Given) -> object:
    request = BoundRequest(given["method"], given["target"], parse_base64(given["body"]))
    headers = {name: value for name, value in given["headers"].items() if value is not None}
    key = parse_p256_public_key(parse_base64(given["server_spki"]))
    verified = verify_brought_call(
        BroughtCall(given["gateway"], request, headers),
        server=SigningLeaf(given["server_sha256"], key),
        log_vkey=given["log_vkey"],
        now=given["now"],
    )
    return {"event_id": verified.decision.event_id, "action": verified.intent.action}


def _wanted(given: Given) -> Wanted:
    return Wanted(given["name"], given["scope"], given["ttl"], given["limits"])


def _wish(given: Given) -> Wish:
    return Wish(given["name"], given["path"], given["scope"], given["ttl"], given["owner"])


MORE_JUDGES: Mapping[str, Callable[[Given], object]] = {
    "jwt_svid": _jwt_svid,
    "jwt_keys": _jwt_keys,
    "wit_svid": _wit_svid,
    "succession": _succession,
    "bundle_map": _bundle_map,
    "ticket": _ticket,
    "child_request": _child_request,
    "child_request_written": _child_request_written,
    "grant": _grant,
    "grant_written": _grant_written,
    "registration": _registration,
    "claim_wish": lambda given: digest_of_wish(wish_of(_wish(given))),
    "claimed_ticket": _claimed_ticket,
    "possession_written": _possession_written,
    "work_bits": lambda given: work_bits_of(given["possession"], given["work"]),
    "intents_written": _intents_written,
    "params_commitment": _params_commitment,
    "request_commitment": _request_commitment,
    "outcome_written": _outcome_written,
    "brought_call": _brought_call,
}
"""What each check answers; raises what it refuses with."""
