"""Whose an agent is: of the owner it was first issued under, until both owners signed that it is another's.

Without this check a lying server could put one owner's agent under another, and every later document would be in order.
Before and after are told by epochs: a transfer takes one, and what was issued before it may reach the log behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .._bytes import count_units, encode_base64url
from .._crypto import encode_spki, sha256
from .._fields import Fields
from .._json import Json, JsonObject
from ..dsse import UnverifiedEnvelope, parse_envelope, parse_unverified_payload, require_signed
from ..errors import TrustWardenError
from ..passkey import OwnerKey, public_key_of
from ..records import ControlRecord, seconds_of

MAX_TRANSFER_SECONDS = 3600
"""An offer waits at most this long."""
_CLOCK_SKEW_SECONDS = 30
_MAX_ENVELOPE_CHARS = 4096
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_AGENT_ID = re.compile(r"agt_[0-7][0-9A-HJKMNP-TV-Z]{25}")
_OWNER_ID = re.compile(r"own_[0-7][0-9A-HJKMNP-TV-Z]{25}")


@dataclass(frozen=True, slots=True)
class Transfer:
    """What both owners sign, as far as an audit compares it."""

    agent: str
    audience: str
    giver: str
    receiver: str
    iat: int
    exp: int


class AgentOwners:
    """Owns who has which agent in one log, and the transfers that were used; lives for one audit."""

    def __init__(self, key_for: Callable[[object, UnverifiedEnvelope], OwnerKey]) -> None:
        self._key_for = key_for
        # By agent: from which epoch on it is whose.
        self._periods: dict[str, list[tuple[int, str]]] = {}
        self._used: set[str] = set()

    def add(self, control: ControlRecord, signer: str) -> None:
        """Takes an allowed `transfer` event; call in the order of the log.

        What was signed for another trust domain than that of the server who signed the event gives nothing away here.

        Raises: TrustWardenError `record_malformed`, or what the signatures and the members are refused with.
        """
        details = control.details
        audience = "/".join(signer.split("/")[:3])
        offer, offered = self._verify(details.get("offer"), control, by_giver=True)
        if offered.audience != audience:
            raise _invalid("aud")
        if details.get("change") == "offer":
            return
        if details.get("change") != "accept":
            raise _malformed("a transfer of another kind")
        acceptance, signed = self._verify(details.get("acceptance"), control, by_giver=False)
        if offer.payload != acceptance.payload or offered != signed:
            raise _invalid("another transfer than was offered")
        if details.get("owner") != signed.receiver:
            raise _malformed("a transfer to another owner")
        digest = encode_base64url(sha256(acceptance.payload))
        if digest in self._used:
            raise _malformed("a transfer that was used before")
        self._used.add(digest)
        periods = self._periods.setdefault(signed.agent, [(-1, signed.giver)])
        since, holder = periods[-1]
        if holder != signed.giver or control.epoch <= since:
            raise _malformed("a transfer by who did not have the agent")
        periods.append((control.epoch, signed.receiver))

    def require_owner(self, control: ControlRecord) -> None:
        """Refuses an instance under an owner who did not have its agent then.

        Raises: TrustWardenError `record_malformed`.
        """
        if len(control.chain) < 2:
            return
        owner = control.chain[0].removeprefix("owner:")
        # Known since its first event; in a part of a log that need not be its birth.
        periods = self._periods.setdefault(control.chain[1], [(-1, owner)])
        holders = [holder for since, holder in periods if since <= control.epoch]
        if holders[-1:] != [owner]:
            raise _malformed("an agent of another owner")

    def _verify(self, text: Json, control: ControlRecord, *, by_giver: bool) -> tuple[UnverifiedEnvelope, Transfer]:
        if not isinstance(text, str):
            raise _malformed("a transfer without a signature")
        if count_units(text) > _MAX_ENVELOPE_CHARS:
            raise _invalid("envelope")
        envelope = parse_envelope(text)
        transfer = _parse_transfer(parse_unverified_payload(envelope))
        if transfer.agent != control.subject or control.details.get("from") != transfer.giver:
            raise _malformed("a transfer of another agent")
        if control.chain != (f"owner:{transfer.giver}", transfer.agent):
            raise _malformed("a transfer of another agent")
        key = self._key_for(transfer.giver if by_giver else transfer.receiver, envelope)
        require_signed(envelope, "transfer", key)
        if envelope.unverified_keyid != encode_base64url(sha256(encode_spki(public_key_of(key)))):
            raise _invalid("keyid")
        now = seconds_of(control.time)
        if transfer.iat > now + _CLOCK_SKEW_SECONDS:
            raise _invalid("iat")
        if now >= transfer.exp:
            raise TrustWardenError("transfer_expired", {"exp": transfer.exp})
        return envelope, transfer


def _parse_transfer(json: JsonObject) -> Transfer:
    fields = Fields(json, "transfer_invalid")
    fields.version()
    fields.matching("jti", _ULID)
    transfer = Transfer(
        audience=fields.text("aud"),
        agent=fields.matching("agent", _AGENT_ID),
        giver=fields.matching("from", _OWNER_ID),
        receiver=fields.matching("to", _OWNER_ID),
        iat=fields.integer("iat"),
        exp=fields.integer("exp"),
    )
    fields.end()
    if not 0 < transfer.exp - transfer.iat <= MAX_TRANSFER_SECONDS:
        raise _invalid("exp")
    if transfer.giver == transfer.receiver:
        raise _invalid("to")
    return transfer


def _invalid(field: str) -> TrustWardenError:
    return TrustWardenError("transfer_invalid", {"field": field})


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("record_malformed", {"reason": reason})
