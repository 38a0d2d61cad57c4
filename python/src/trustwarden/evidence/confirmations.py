"""What one admin asked and a second one confirmed, by a passkey of its own over exactly that request, once.

Whether whoever confirmed was an admin then is the server's word.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .._bytes import parse_base64, parse_base64url
from .._crypto import parse_p256_public_key
from .._json import JsonObject
from ..errors import TrustWardenError
from ..passkey import Assertion, Passkey, require_asserted
from ..records import ControlRecord
from .entries import text_of

_ENDINGS = ("recover", "end")
_CHALLENGE = "trustwarden-confirmation-v1"
_COORDINATE_BYTES = 32


@dataclass(slots=True)
class _Asked:
    asked_by: str
    digest: str
    confirmed_by: str | None


class ConfirmationAuditor:
    """Owns the passkeys of people and what they confirmed, in one log; lives for one audit."""

    def __init__(self) -> None:
        self._passkeys: dict[str, dict[str, Passkey]] = {}
        self._asked: dict[str, _Asked] = {}
        # Used or refused: an id is asked about once, or its one signature would serve again.
        self._ended: set[str] = set()

    def add(self, control: ControlRecord) -> None:
        """Takes an allowed event of an owner or person, and checks one of a confirmation; in log order.

        Raises: TrustWardenError `record_malformed`, `signature_invalid`, or what parsing is refused with.
        """
        subject, details = control.subject, control.details
        if not control.allow or subject is None:
            return
        person = details.get("person")
        if control.kind == "owner" and isinstance(person, str):
            self._follow(person, details)
        elif control.kind == "person":
            self._follow(subject, details)
        elif control.kind == "confirmation":
            self._confirmation(subject, control)

    def _follow(self, person: str, details: JsonObject) -> None:
        known = self._passkeys.setdefault(person, {})
        if details.get("change") in _ENDINGS:
            known.clear()
        credential, rp_id = details.get("credential_id"), details.get("rp_id")
        if not isinstance(credential, str):
            return
        if "spki" not in details:
            known.pop(credential, None)
            return
        key = parse_p256_public_key(parse_base64(text_of(details["spki"])))
        known[credential] = Passkey(key, rp_id if isinstance(rp_id, str) else None)

    def _confirmation(self, subject: str, control: ControlRecord) -> None:
        details = control.details
        change = details.get("change")
        if change == "ask":
            asked_by = text_of(details.get("asked_by"))
            if asked_by != control.principal or subject in self._asked or subject in self._ended:
                raise _invalid("asked twice, or in another's name")
            self._asked[subject] = _Asked(asked_by, text_of(details.get("digest")), None)
            return
        asked = self._asked.get(subject)
        if asked is None:
            raise _invalid("a confirmation that nobody asked for, or that was used")
        if details.get("asked_by") != asked.asked_by or details.get("digest") != asked.digest:
            raise _invalid("a confirmation of another request")
        if change == "confirm":
            self._confirm(subject, asked, control)
        elif change == "use":
            is_confirmed = asked.confirmed_by is not None and details.get("answered_by") == asked.confirmed_by
            if not is_confirmed or control.principal != asked.asked_by:
                raise _invalid("used without the word of a second one")
            self._end(subject)
        elif change == "refuse":
            self._end(subject)
        else:
            raise _invalid("an unknown change of a confirmation")

    def _end(self, subject: str) -> None:
        del self._asked[subject]
        self._ended.add(subject)

    def _confirm(self, subject: str, asked: _Asked, control: ControlRecord) -> None:
        details = control.details
        person = text_of(details.get("answered_by"))
        is_other = control.principal == f"person:{person}" and control.principal != asked.asked_by
        if not is_other or asked.confirmed_by is not None:
            raise _invalid("a confirmation by who could not give it")
        passkey = self._passkeys.get(person, {}).get(text_of(details.get("credential_id")))
        if passkey is None:
            raise _invalid("a confirmation by a passkey that was not that person's")
        data, client, signature = (
            parse_base64url(text_of(details.get(name)))
            for name in ("authenticator_data", "client_data_json", "signature")
        )
        words = "\n".join([_CHALLENGE, subject, asked.asked_by, asked.digest]).encode()
        require_asserted(passkey, words, Assertion(data, client), _raw(signature))
        asked.confirmed_by = person


def _raw(der: bytes) -> bytes:
    """A signature as a device writes it, as r||s of 64 bytes."""
    try:
        r, s = decode_dss_signature(der)
        return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
    except (ValueError, OverflowError) as error:
        raise _invalid("a passkey's signature in another form") from error


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("record_malformed", {"reason": reason})
