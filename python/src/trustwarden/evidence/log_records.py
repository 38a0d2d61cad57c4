"""Records as the log holds them: the exact bytes of a DSSE envelope, and what they say.

Parsing is closed and canonical, so one record has one spelling, except for its ECDSA signature, of which anybody can
compute a second one. Records are therefore told apart by their key and payload, never by their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .._bytes import encode_base64url, parse_utf8
from .._crypto import sha256
from ..dsse import UnverifiedEnvelope, parse_envelope, parse_unverified_payload, payload_type_of, require_signed
from ..errors import TrustWardenError
from ..records import (
    ControlRecord,
    DecisionRecord,
    Intent,
    OutcomeRecord,
    parse_control_record,
    parse_decision_record,
    parse_intent,
    parse_outcome_record,
)
from .presented import PresentedIntent, parse_presented_intent
from .svids import VerifiedCertificate

RecordBody: TypeAlias = "Intent | PresentedIntent | DecisionRecord | OutcomeRecord | ControlRecord"

_PARSERS = {
    "intent": parse_intent,
    "presented-intent": parse_presented_intent,
    "decision": parse_decision_record,
    "outcome": parse_outcome_record,
    "control": parse_control_record,
}


@dataclass(frozen=True, slots=True)
class UnverifiedRecord:
    """A parsed record whose signature nobody has checked."""

    kind: str
    value: RecordBody
    envelope: UnverifiedEnvelope
    entry_sha256: str
    """base64url SHA-256 of the entry: for an intent, what its decision and outcome call `intent_sha256`."""
    payload_sha256: str
    """base64url SHA-256 of the signed payload: what stays the same when the signature is respelled."""


def parse_record(entry: bytes) -> UnverifiedRecord:
    """The record of a log entry.

    Raises: TrustWardenError `record_malformed`, `dsse_malformed`, `base64_malformed`, `request_malformed`, JSON codes.
    """
    envelope = parse_envelope(parse_utf8(entry))
    for kind, parse in _PARSERS.items():
        if payload_type_of(kind) == envelope.payload_type:
            value = parse(parse_unverified_payload(envelope))
            digest = encode_base64url(sha256(envelope.payload))
            return UnverifiedRecord(kind, value, envelope, encode_base64url(sha256(entry)), digest)
    raise TrustWardenError("record_malformed", {"reason": "payload type"})


def require_record(record: UnverifiedRecord, svid: VerifiedCertificate) -> None:
    """Requires that the key of the SVID that a record names signed it.

    Raises: TrustWardenError `signature_invalid`, or `svid_mismatch` when the record names another certificate: a key
    may be certified twice, and then the certificate counts, not only the key.
    """
    require_signed(record.envelope, record.kind, svid.public_key)
    names = [record.envelope.unverified_keyid]
    if isinstance(record.value, Intent):
        names.append(record.value.agent.svid_sha256)
    if any(name != svid.sha256 for name in names):
        raise TrustWardenError("svid_mismatch", {"kind": record.kind})


def record_key(record: UnverifiedRecord, intent_credential: str | None) -> tuple[str, str, str, str]:
    """The key that one record of the log has alone: payload type, signer's SVID, the intent's credential, event id."""
    credential = credential_of(record.value) or intent_credential or "-"
    return record.kind, record.envelope.unverified_keyid, credential, record.value.event_id


def credential_of(value: RecordBody) -> str | None:
    """What an intent was made with: the digest of its SVID, or the thumbprint of the presented key."""
    if isinstance(value, Intent):
        return value.agent.svid_sha256
    return value.token_jkt if isinstance(value, PresentedIntent) else None


def intent_digest_of(record: UnverifiedRecord) -> str | None:
    """The intent that a record belongs to, by the digest of the intent's entry; an intent belongs to itself."""
    if isinstance(record.value, (Intent, PresentedIntent)):
        return record.entry_sha256
    return record.value.intent_sha256


def event_group_of(record: UnverifiedRecord) -> str:
    """What all records of one event have in common; different for any two events of one log."""
    return intent_digest_of(record) or f"control:{record.entry_sha256}"
