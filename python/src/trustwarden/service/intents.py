"""Verifying the intent: one agent's signed wish to do one thing, bound to one request, for one enforcement point.

Whether the intent is new (`intent_replayed`) and whether the instance is alive is state, and so the server's to say.

See: docs/path.md, "The intent"
"""

from __future__ import annotations

from dataclasses import dataclass

from .._bytes import encode_base64url
from .._crypto import hmac_sha256, is_equal_secret, sha256
from .._json import encode_canonical_json
from ..dsse import parse_envelope, verify_envelope
from ..errors import TrustWardenError
from ..intent import BoundRequest
from ..receipts import SigningLeaf
from ..records import MAX_INTENT_SECONDS, Intent, parse_intent, seconds_of

CLOCK_SKEW_SECONDS = 30
"""How far two honest clocks may disagree."""


@dataclass(frozen=True, slots=True)
class VerifiedIntent:
    """An intent whose signature, time and audience are proven."""

    intent: Intent
    envelope: str
    """Exact envelope text; logged byte for byte."""
    sha256: str
    """base64url SHA-256 of the envelope's UTF-8 bytes."""
    payload_sha256: str
    """base64url SHA-256 of the payload bytes: what the next intent's `prev` must be."""


def verify_intent(envelope: str, *, leaf: SigningLeaf, audience: str, now: float) -> VerifiedIntent:
    """An intent that the holder of `leaf` signed, for this audience, just now (Unix seconds).

    Raises: TrustWardenError `dsse_malformed`, `record_malformed`, `signature_invalid`, `svid_mismatch`,
    `intent_audience` or `intent_expired`.
    """
    parsed = parse_envelope(envelope)
    intent = parse_intent(verify_envelope(parsed, "intent", leaf.public_key))
    # A key may be certified twice: the certificate counts, not only the key.
    if intent.agent.svid_sha256 != leaf.sha256 or parsed.unverified_keyid != leaf.sha256:
        raise TrustWardenError("svid_mismatch")
    if intent.aud != audience:
        raise TrustWardenError("intent_audience", {"audience": intent.aud})
    _require_now(intent, now)
    digest = encode_base64url(sha256(envelope.encode("utf-8")))
    return VerifiedIntent(intent, envelope, digest, encode_base64url(sha256(parsed.payload)))


def require_same_request(intent: Intent, request: BoundRequest, salt: bytes) -> None:
    """Refuses an intent that was made for another request: a read's intent sent with a delete, a changed body.

    Raises: TrustWardenError `intent_mismatch`.
    """
    digest = encode_base64url(sha256(request.body))
    bound = encode_canonical_json({"body_sha256": digest, "method": request.method, "target": request.target})
    expected = encode_base64url(hmac_sha256(salt, bound))
    if intent.request is None or not is_equal_secret(intent.request.encode(), expected.encode()):
        raise TrustWardenError("intent_mismatch", {"reason": "request"})


def _require_now(intent: Intent, now: float) -> None:
    issued_at = seconds_of(intent.time)
    # Negated, so that a clock that is no number refuses.
    if not now < intent.exp + CLOCK_SKEW_SECONDS:
        raise TrustWardenError("intent_expired", {"exp": intent.exp, "now": now})
    if not issued_at <= now + CLOCK_SKEW_SECONDS:
        raise TrustWardenError("intent_expired", {"reason": "from the future"})
    if intent.exp - issued_at > MAX_INTENT_SECONDS:
        raise TrustWardenError("intent_expired", {"reason": "too long-lived"})
