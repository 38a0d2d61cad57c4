"""Whose word lifted a decision: the owner's own signature, in the log before the decision, used up in time and once.

That the parameters are the same is shown by commitments under salts which the log does not hold; whoever has the two
receipts with their salts can compare them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .._bytes import count_units, encode_base64url
from .._crypto import encode_spki, sha256
from .._fields import Fields, parse_time_ms
from .._json import JsonObject
from ..dsse import UnverifiedEnvelope, parse_envelope, parse_unverified_payload, require_signed
from ..errors import TrustWardenError
from ..passkey import OwnerKey, public_key_of
from ..records import ControlRecord, DecisionRecord, Intent, seconds_of
from .presented import PresentedIntent

MAX_APPROVAL_SECONDS = 900
"""An approval waits for its one use at most this long."""
_CLOCK_SKEW_SECONDS = 30
_MAX_ENVELOPE_CHARS = 8192
_OWNER_ID = re.compile(r"own_[0-9A-Z]{26}")


@dataclass(frozen=True, slots=True)
class Approval:
    """An owner's signed answer, as far as an audit compares it."""

    id: str
    owner: str
    agent: str
    action: str
    resource: str
    audience: str
    policy_sha256: str
    aud: str
    answer: str
    iat: int
    exp: int


class ApprovalAuditor:
    """Owns the approvals of one log and which of them were used; lives for one audit."""

    def __init__(self, owner_key: Callable[[object, UnverifiedEnvelope], OwnerKey]) -> None:
        self._owner_key = owner_key
        self._approved: dict[str, str] = {}
        self._uses: dict[str, str] = {}
        self._used: set[str] = set()

    def add(self, control: ControlRecord, signer: str) -> None:
        """Takes an `approval` event of a server; call in the order of the log.

        What was signed for another trust domain than the server's lifts nothing here.

        Raises: TrustWardenError `record_malformed`, or what the signature and the members are refused with.
        """
        if control.kind != "approval" or not control.allow:
            return
        if control.details.get("change") == "approve":
            self._add_approval(control, "/".join(signer.split("/", 3)[:3]))
        if control.details.get("change") == "use":
            self._add_use(control)

    def require_approved(self, decision: DecisionRecord, intent: Intent | PresentedIntent) -> None:
        """Checks a decision that names an approval.

        Raises: TrustWardenError `record_malformed`.
        """
        approval = decision.approval
        if approval is None:
            return
        envelope = self._approved.get(approval.id)
        if envelope is None:
            raise _invalid("an approval that nobody gave")
        signed = _parse_unverified(envelope)
        is_named = (
            _digest(envelope) == approval.envelope_sha256
            and approval.owner == signed.owner
            and decision.chain[:1] == (f"owner:{signed.owner}",)
        )
        is_same = (signed.agent, signed.action, signed.resource, signed.audience, signed.policy_sha256) == (
            intent.agent.spiffe_id,
            intent.action,
            intent.resource,
            intent.aud,
            decision.policy_sha256,
        )
        if not is_named or not is_same or not decision.allow:
            raise _invalid("an approval of something else")
        if self._uses.get(approval.id) != intent.event_id:
            raise _invalid("an approval that was not used up for this")
        if approval.id in self._used:
            raise _invalid("an approval that was used before")
        self._used.add(approval.id)

    def _add_approval(self, control: ControlRecord, audience: str) -> None:
        envelope = control.details.get("approval")
        if not isinstance(envelope, str):
            raise _invalid("an approval without its envelope")
        claimed = _parse_unverified(envelope)
        if claimed.id != control.subject:
            raise _invalid("an approval under another id")
        parsed, now = parse_envelope(envelope), seconds_of(control.time)
        key = self._owner_key(claimed.owner, parsed)
        require_signed(parsed, "approval", key)
        if parsed.unverified_keyid != encode_base64url(sha256(encode_spki(public_key_of(key)))):
            raise TrustWardenError("approval_invalid", {"field": "keyid"})
        if claimed.aud != audience:
            raise TrustWardenError("approval_invalid", {"field": "aud"})
        if claimed.iat > now + _CLOCK_SKEW_SECONDS:
            raise TrustWardenError("approval_invalid", {"field": "iat"})
        if now >= claimed.exp:
            raise TrustWardenError("approval_expired", {"exp": claimed.exp})
        if claimed.answer != "approve":
            raise _invalid("a no that was recorded as a yes")
        self._approved[claimed.id] = envelope

    def _add_use(self, control: ControlRecord) -> None:
        """The time of the use counts: the decision is written after it, and may be written late."""
        subject, details = control.subject or "", control.details
        envelope = self._approved.get(subject)
        if envelope is None:
            raise _invalid("a use of an approval that nobody gave")
        if details.get("envelope_sha256") != _digest(envelope):
            raise _invalid("a use of another approval")
        used_by = details.get("used_by")
        if not isinstance(used_by, str):
            raise _invalid("a use by nobody")
        if subject in self._uses:
            raise _invalid("an approval that was used before")
        if (parse_time_ms(control.time) or 0) >= _parse_unverified(envelope).exp * 1000:
            raise _invalid("an approval that had expired")
        self._uses[subject] = used_by


def _parse_unverified(envelope: str) -> Approval:
    if count_units(envelope) > _MAX_ENVELOPE_CHARS:
        raise TrustWardenError("approval_invalid", {"field": "envelope"})
    return _parse_approval(parse_unverified_payload(parse_envelope(envelope)))


def _parse_approval(json: JsonObject) -> Approval:
    fields = Fields(json, "approval_invalid")
    fields.version()
    approval = Approval(
        id=_read_id(fields),
        owner=fields.matching("owner", _OWNER_ID),
        agent=fields.text("agent"),
        action=fields.text("action"),
        resource=fields.text("resource"),
        audience=fields.text("audience"),
        policy_sha256=fields.digest("policy_sha256"),
        aud=fields.text("aud"),
        answer=fields.one_of("answer", ("approve", "deny")),
        iat=fields.integer("iat"),
        exp=fields.integer("exp"),
    )
    for name in ("intent_sha256", "parameters"):
        fields.digest(name)
    fields.end()
    if not 0 < approval.exp - approval.iat <= MAX_APPROVAL_SECONDS:
        raise TrustWardenError("approval_invalid", {"field": "exp"})
    return approval


def _read_id(fields: Fields) -> str:
    try:
        return fields.event_id("id")
    except TrustWardenError as cause:
        raise TrustWardenError("approval_invalid", {"field": "id"}) from cause


def _digest(envelope: str) -> str:
    return encode_base64url(sha256(envelope.encode("utf-8", "surrogatepass")))


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("record_malformed", {"reason": reason})
