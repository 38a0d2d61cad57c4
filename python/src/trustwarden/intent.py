"""The intent: one agent's signed wish to do one thing, bound to one request, for one enforcement point.

Numbering and signing happen under one lock, so parallel actions never take the same number. See docs/path.md.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ._bytes import encode_base64url
from ._crypto import sha256
from ._json import JsonObject, encode_canonical_json
from .dsse import issue_envelope_of
from .keys import InstanceKey
from .records import MAX_INTENT_SECONDS
from .runtime import format_time, format_uuid_v7, now_ms

SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class BoundRequest:
    """The request that an intent is bound to."""

    method: str
    target: str
    """Path and query as sent."""
    body: bytes


@dataclass(frozen=True)
class IntentDraft:
    """What the agent wants, before it is signed."""

    action: str
    resource: str
    request: str | None
    """Commitment to the request; None for an act in this process."""
    params: str | None
    """Commitment to the parameters, or None."""
    audience: str
    """SPIFFE ID of the enforcement point."""
    job: str | None = None


@dataclass(frozen=True)
class SignedIntent:
    """An intent that left, or is about to."""

    event_id: str
    envelope: str
    """Exact text; logged byte for byte."""
    sha256: str
    """base64url SHA-256 of the envelope."""


class IntentWriter:
    """Writes an instance's intents, across renewals: one number and one back link each."""

    def __init__(self, agent_id: str, seen: Callable[[], JsonObject | None]) -> None:
        self._agent_id = agent_id
        self._seen = seen
        self._lock = threading.Lock()
        self._seq = 0
        self._prev: str | None = None

    def sign(self, draft: IntentDraft, spiffe_id: str, svid_sha256: str, key: InstanceKey) -> SignedIntent:
        """Signs the next intent of the instance."""
        seen = self._seen()
        with self._lock:
            at_ms = now_ms()
            event_id = format_uuid_v7(at_ms)
            payload: JsonObject = {
                "v": 1,
                "event_id": event_id,
                "agent": {"id": self._agent_id, "spiffe_id": spiffe_id, "svid_sha256": svid_sha256},
                "action": draft.action,
                "resource": draft.resource,
                "request": draft.request,
                "params": draft.params,
                "aud": draft.audience,
                "job": draft.job,
                "time": format_time(at_ms),
                "exp": at_ms // 1000 + MAX_INTENT_SECONDS,
                "seq": self._seq + 1,
                "prev": self._prev,
                "seen": seen,
            }
            data = encode_canonical_json(payload)
            envelope = issue_envelope_of("intent", data, key.sign, svid_sha256)
            self._seq += 1
            self._prev = _digest(data)
        return SignedIntent(event_id, envelope, _digest(envelope.encode()))


def commit_to_request(request: BoundRequest, salt: bytes) -> str:
    """base64url commitment to a request under a fresh salt; without the salt it says nothing."""
    members = {"body_sha256": _digest(request.body), "method": request.method, "target": request.target}
    return commit_to_params(members, salt)


def commit_to_params(params: JsonObject, salt: bytes) -> str:
    """base64url commitment to an action's parameters under a fresh salt."""
    return encode_base64url(hmac.digest(salt, encode_canonical_json(params), "sha256"))


def _digest(data: bytes) -> str:
    return encode_base64url(sha256(data))
