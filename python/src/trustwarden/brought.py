"""A call that a gateway brings to the service behind it, as that service proves it.

A gateway's SVID alone is not enough: whoever has stolen its key would be let in. With the call come the receipt of its
decision, the agent's own intent and the salt that opens it, and the three hang together: the decision is about this
intent, the intent was meant for the very gateway that stands at the other end of the connection, and for this request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._bytes import encode_base64url, parse_base64url, parse_utf8
from ._crypto import sha256
from .dsse import parse_envelope, parse_unverified_payload
from .errors import TrustWardenError
from .intent import BoundRequest
from .notes import NoteKey
from .receipts import Receipt, ReceiptExpectations, SigningLeaf, parse_receipt_header, verify_receipt
from .records import DecisionRecord, Intent, parse_intent, seconds_of
from .service.intents import require_same_request
from .service.visit import INTENT_HEADER, RECEIPT_HEADER, SALT_HEADER

FRESH_SECONDS = 30
"""From the decision to the service behind; a body of 8 MiB arrives in that time."""


@dataclass(frozen=True, slots=True)
class BroughtCall:
    """What arrived."""

    gateway: str
    """SPIFFE ID of whoever brought it, proven from the connection; the service accepts it as a gateway already."""
    request: BoundRequest
    headers: Mapping[str, str]
    """Of the request, by lower-case name: `trustwarden-receipt`, `trustwarden-intent`, `trustwarden-salt`."""


@dataclass(frozen=True, slots=True)
class VerifiedBroughtCall:
    """A call that may be served, once."""

    intent: Intent
    receipt: Receipt
    decision: DecisionRecord


def verify_brought_call(
    call: BroughtCall, *, server: SigningLeaf, log_vkey: str | NoteKey, now: float
) -> VerifiedBroughtCall:
    """Proves that an allowed decision of just now (Unix seconds) is about this request, brought by this gateway.

    It does not remember: the service serves each `decision.event_id` once.

    Raises: TrustWardenError `receipt_invalid`.
    """
    texts = [call.headers.get(name) for name in (RECEIPT_HEADER, INTENT_HEADER, SALT_HEADER)]
    receipt_text, intent_text, salt_text = (_require_text(text) for text in texts)
    try:
        envelope, salt = parse_utf8(parse_base64url(intent_text)), parse_base64url(salt_text)
        intent = parse_intent(parse_unverified_payload(parse_envelope(envelope)))
    except TrustWardenError as cause:
        raise _invalid("intent") from cause
    digest = encode_base64url(sha256(envelope.encode("utf-8")))
    expected = ReceiptExpectations(server, log_vkey, digest, "service")
    verified = verify_receipt(parse_receipt_header(receipt_text), expected)
    if not verified.decision.allow:
        raise _invalid("denied")
    # Negated, so that a clock that is no number refuses.
    if not abs(now - seconds_of(verified.decision.time)) < FRESH_SECONDS:
        raise _invalid("not of now")
    # The server has verified the agent's signature under the intent; the digest in the decision binds these bytes.
    if intent.aud != call.gateway:
        raise _invalid("another gateway")
    try:
        require_same_request(intent, call.request, salt)
    except TrustWardenError as cause:
        raise _invalid("another request") from cause
    return VerifiedBroughtCall(intent, verified.receipt, verified.decision)


def _require_text(text: object) -> str:
    if not isinstance(text, str):
        raise _invalid("header")
    return text


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("receipt_invalid", {"reason": reason})
