"""Receipts: the proof that a decision was made by the server and promised a place in the ledger.

A receipt is checked by whoever relies on it: the service before it acts, the agent before it keeps it. A receipt whose
decision was bound in the agent's own process (`self`) proves what the server answered there and is never permission
for anybody else.

See: docs/path.md, "The receipt"
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ._bytes import encode_base64url, parse_base64url, parse_utf8
from ._json import JsonObject, format_canonical_json, is_safe_integer, parse_json_object
from .dsse import UnverifiedEnvelope, parse_envelope, parse_unverified_payload, require_signed
from .errors import TrustWardenError
from .merkle import leaf_hash
from .notes import Acknowledgement, NoteKey, parse_vkey, verify_acknowledgement
from .records import DecisionRecord, Enforcement, parse_decision_record

MAX_RECEIPT_CHARS = 16_384
"""A receipt as a header: one decision and one acknowledgement, each a few hundred bytes."""
_MEMBERS = {"acknowledgement", "decision", "decision_index", "event_id", "intent_sha256"}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it travels; nothing of it is proven."""

    event_id: str
    intent_sha256: str
    decision: str
    """DSSE decision record, exactly as logged."""
    decision_index: int
    acknowledgement: str
    """Signed note: the ledger's promise for `decision_index`."""


@dataclass(frozen=True, slots=True)
class SigningLeaf:
    """The leaf of a signer's SVID, as far as its signatures need it."""

    sha256: str
    """base64url SHA-256 of the DER."""
    public_key: EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class ReceiptExpectations:
    """What the verifier of a receipt knows already."""

    server: SigningLeaf
    """The server's SVID that the decision names, proven against the trust bundle."""
    log_vkey: str | NoteKey
    """Verifier key of the log, as discovery gives it, or parsed already."""
    intent_sha256: str
    """base64url SHA-256 of the intent's envelope: the action this is about."""
    enforcement: Enforcement
    """Where the decision must bind; a service passes `service`, so that a `self` receipt is no permission."""


@dataclass(frozen=True, slots=True)
class OpenedReceipt:
    """A receipt that was read and of which nothing is proven."""

    receipt: Receipt
    envelope: UnverifiedEnvelope
    unverified_decision: DecisionRecord


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt that holds."""

    receipt: Receipt
    decision: DecisionRecord
    acknowledgement: Acknowledgement


def verify_receipt(receipt: Receipt, expected: ReceiptExpectations) -> VerifiedReceipt:
    """Proves a receipt: the decision is the server's, about this very intent, and the log promised to keep it.

    It may be a deny: the caller reads `decision.allow`.

    Raises: TrustWardenError `receipt_invalid`.
    """
    return verify_opened_receipt(open_receipt(receipt), expected)


def open_receipt(receipt: Receipt) -> OpenedReceipt:
    """Reads a receipt, once for everybody who looks at it.

    Raises: TrustWardenError `receipt_invalid`.
    """
    try:
        envelope = parse_envelope(receipt.decision)
        decision = parse_decision_record(parse_unverified_payload(envelope))
    except TrustWardenError as cause:
        raise _invalid(cause.code) from cause
    return OpenedReceipt(receipt, envelope, decision)


def verify_opened_receipt(opened: OpenedReceipt, expected: ReceiptExpectations) -> VerifiedReceipt:
    """`verify_receipt` of a receipt that was read before.

    Raises: TrustWardenError `receipt_invalid`.
    """
    try:
        _require_decision(opened, expected)
        key = parse_vkey(expected.log_vkey) if isinstance(expected.log_vkey, str) else expected.log_vkey
        acknowledgement = verify_acknowledgement(opened.receipt.acknowledgement, key)
    except TrustWardenError as cause:
        if cause.code == "receipt_invalid":
            raise
        raise _invalid(cause.code) from cause
    # The acknowledgement must promise exactly this decision at exactly this index.
    if acknowledgement.index != opened.receipt.decision_index:
        raise _invalid("index")
    if acknowledgement.leaf_hash != leaf_hash(opened.receipt.decision.encode("utf-8", "surrogatepass")):
        raise _invalid("leaf")
    return VerifiedReceipt(opened.receipt, opened.unverified_decision, acknowledgement)


def parse_receipt_header(header: str) -> Receipt:
    """The receipt of a `TrustWarden-Receipt` header, not yet proven.

    Raises: TrustWardenError `receipt_invalid`.
    """
    try:
        json = parse_json_object(parse_utf8(parse_base64url(header)), MAX_RECEIPT_CHARS)
    except TrustWardenError as cause:
        raise _invalid("header") from cause
    return parse_receipt(json)


def parse_receipt(json: JsonObject) -> Receipt:
    """A receipt from its JSON, not yet proven.

    Raises: TrustWardenError `receipt_invalid`.
    """
    event_id, intent_sha256, decision = json.get("event_id"), json.get("intent_sha256"), json.get("decision")
    index, acknowledgement = json.get("decision_index"), json.get("acknowledgement")
    if (
        isinstance(event_id, str)
        and isinstance(intent_sha256, str)
        and isinstance(decision, str)
        and is_safe_integer(index)
        and isinstance(acknowledgement, str)
        and set(json) == _MEMBERS
    ):
        return Receipt(event_id, intent_sha256, decision, index, acknowledgement)
    raise _invalid("members")


def format_receipt_header(receipt: Receipt) -> str:
    """The receipt as the value of a `TrustWarden-Receipt` header."""
    text = format_canonical_json(
        {
            "acknowledgement": receipt.acknowledgement,
            "decision": receipt.decision,
            "decision_index": receipt.decision_index,
            "event_id": receipt.event_id,
            "intent_sha256": receipt.intent_sha256,
        }
    )
    return encode_base64url(text.encode("utf-8"))


def _require_decision(opened: OpenedReceipt, expected: ReceiptExpectations) -> None:
    receipt, decision = opened.receipt, opened.unverified_decision
    if opened.envelope.unverified_keyid != expected.server.sha256:
        raise _invalid("signer")
    require_signed(opened.envelope, "decision", expected.server.public_key)
    if decision.intent_sha256 != expected.intent_sha256 or receipt.intent_sha256 != expected.intent_sha256:
        raise _invalid("intent")
    if decision.event_id != receipt.event_id:
        raise _invalid("event")
    if decision.enforcement != expected.enforcement:
        raise _invalid("enforcement")


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("receipt_invalid", {"reason": reason})
