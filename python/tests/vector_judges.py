"""Answers the questions of the golden vectors with the code of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from more_vector_judges import MORE_JUDGES
from trustwarden._bytes import encode_base64, parse_base64, parse_utf8
from trustwarden._crypto import parse_p256_public_key
from trustwarden._json import format_canonical_json, parse_json
from trustwarden.agent_card import encode_card_payload, verify_card
from trustwarden.bundle import parse_trust_bundle
from trustwarden.dsse import parse_envelope, verify_envelope
from trustwarden.evidence import EvidenceTrust, verify_evidence
from trustwarden.evidence.payloads import DisclosedPayload
from trustwarden.intent import BoundRequest
from trustwarden.log_proof import parse_range_proof, parse_tlog_policy, verify_tlog_proof
from trustwarden.merkle import verify_consistency, verify_inclusion, verify_range
from trustwarden.notes import verify_checkpoint
from trustwarden.receipts import ReceiptExpectations, SigningLeaf, parse_receipt_header, verify_receipt
from trustwarden.scope import is_subset, parse_action, parse_scope
from trustwarden.service.intents import require_same_request, verify_intent
from trustwarden.spiffe import instance_id_of, parse_spiffe_id, parse_trust_domain, path_of, trust_domain_of
from trustwarden.x509 import verify_x509_svid

Given = Mapping[str, Any]


def _canonical_json(given: Given) -> object:
    return format_canonical_json(parse_json(given["text"]))


def _scope(given: Given) -> object:
    return list(parse_scope(given["atoms"]))


def _scope_subset(given: Given) -> object:
    return is_subset(parent=parse_scope(given["parent"]), child=parse_scope(given["child"]))


def _action(given: Given) -> object:
    return parse_action(given["text"])


def _spiffe_id(given: Given) -> object:
    found = parse_spiffe_id(given["text"])
    return {"trust_domain": trust_domain_of(found), "path": path_of(found), "instance": instance_id_of(found)}


def _envelope(given: Given) -> object:
    envelope = parse_envelope(given["text"])
    verify_envelope(envelope, given["name"], parse_p256_public_key(parse_base64(given["spki"])))
    return parse_utf8(envelope.payload)


def _intent(given: Given) -> object:
    leaf = SigningLeaf(given["svid_sha256"], parse_p256_public_key(parse_base64(given["spki"])))
    verified = verify_intent(given["envelope"], leaf=leaf, audience=given["audience"], now=given["now"])
    request = BoundRequest(given["method"], given["target"], parse_base64(given["body"]))
    require_same_request(verified.intent, request, parse_base64(given["salt"]))
    return {
        "action": verified.intent.action,
        "sha256": verified.sha256,
        "payload_sha256": verified.payload_sha256,
    }


def _agent_card(given: Given) -> object:
    domain = parse_trust_domain(given["trust_domain"])
    return verify_card(given["card"], {domain: parse_trust_bundle(given["bundle"], domain)}, given["now"])


def _x509_svid(given: Given) -> object:
    domain = parse_trust_domain(given["trust_domain"])
    chain = [parse_base64(text) for text in given["chain"]]
    svid = verify_x509_svid(chain, {domain: parse_trust_bundle(given["bundle"], domain)}, given["now"])
    return {"id": svid.id, "sha256": svid.leaf.sha256}


def _trust_bundle(given: Given) -> object:
    bundle = parse_trust_bundle(given["text"], parse_trust_domain("acme.test"))
    return {"sequence": bundle.sequence, "x509": len(bundle.x509_authorities)}


def _receipt(given: Given) -> object:
    key = parse_p256_public_key(parse_base64(given["server_spki"]))
    expected = ReceiptExpectations(
        server=SigningLeaf(given["server_sha256"], key),
        log_vkey=given["log_vkey"],
        intent_sha256=given["intent_sha256"],
        enforcement=given["enforcement"],
    )
    verified = verify_receipt(parse_receipt_header(given["header"]), expected)
    return {
        "allow": verified.decision.allow,
        "event_id": verified.receipt.event_id,
        "index": verified.acknowledgement.index,
        "acknowledged_at": verified.acknowledgement.acknowledged_at,
    }


def _evidence(given: Given) -> object:
    """Roots are a bundle document, or one fingerprint."""
    roots = given["roots"]
    earlier = given.get("earlier")
    trust = (
        EvidenceTrust(log_vkey=given["vkey"], bundle=roots, earlier=earlier)
        if roots.startswith("{")
        else EvidenceTrust(log_vkey=given["vkey"], fingerprints=[roots], earlier=earlier)
    )
    report = verify_evidence(parse_base64(given["bundle"]), trust)
    kinds = {
        key: "disclosed" if isinstance(one, DisclosedPayload) else "erased" for key, one in report.payloads.items()
    }
    return {
        "entries": report.entries,
        "signatures": report.signatures,
        "alarms": [finding.code for finding in report.alarms],
        "earlier": None if report.earlier is None else report.earlier.checkpoint.size,
        "payloads": [f"{kind} {event_id}" for event_id, kind in kinds.items()],
        "events": [
            {
                "outcome": answer.event.outcome,
                "agent": answer.event.agent_id,
                "owner": answer.event.owner_id,
                "authorized_by": [f"{one.document} {one.by}" for one in answer.authorized_by],
                "stopped_by": len(answer.stopped_by),
            }
            for answer in report.events
        ],
    }


def _checkpoint(given: Given) -> object:
    found = verify_checkpoint(given["note"], given["vkey"])
    return {"origin": found.origin, "size": found.size, "root": encode_base64(found.root)}


def _inclusion(given: Given) -> object:
    proof = [parse_base64(text) for text in given["proof"]]
    leaf, root = parse_base64(given["leaf"]), parse_base64(given["root"])
    verify_inclusion(index=given["index"], size=given["size"], leaf=leaf, proof=proof, root=root)
    return None


def _consistency(given: Given) -> object:
    verify_consistency(
        old_size=given["old_size"],
        old_root=parse_base64(given["old_root"]),
        new_size=given["new_size"],
        new_root=parse_base64(given["new_root"]),
        proof=[parse_base64(text) for text in given["proof"]],
    )
    return None


def _range(given: Given) -> object:
    claim = parse_range_proof(given["text"])
    leaves = [parse_base64(text) for text in given["leaves"]]
    root = parse_base64(given["root"])
    verify_range(start=claim.start, end=claim.end, size=given["size"], leaves=leaves, proof=claim.proof, root=root)
    return None


def _tlog_proof(given: Given) -> object:
    policy = parse_tlog_policy(given["policy"])
    proven = verify_tlog_proof(given["text"], entry=parse_base64(given["entry"]), policy=policy)
    cosigned = proven.cosignatures[0].cosigned_at if proven.cosignatures else None
    return {"index": proven.index, "size": proven.checkpoint.size, "cosigned_at": cosigned}


VECTOR_JUDGES: Mapping[str, Callable[[Given], object]] = {
    **MORE_JUDGES,
    "canonical_json": _canonical_json,
    "scope": _scope,
    "scope_subset": _scope_subset,
    "action": _action,
    "spiffe_id": _spiffe_id,
    "envelope": _envelope,
    "intent": _intent,
    "card_payload": lambda given: parse_utf8(encode_card_payload(given["card"])),
    "agent_card": _agent_card,
    "x509_svid": _x509_svid,
    "trust_bundle": _trust_bundle,
    "receipt": _receipt,
    "evidence": _evidence,
    "checkpoint": _checkpoint,
    "inclusion": _inclusion,
    "consistency": _consistency,
    "range": _range,
    "tlog_proof": _tlog_proof,
}
"""What each check answers; raises what it refuses with."""
