"""Whose keys sign for an owner, as the log tells it: a file's key, or the passkeys of the person who it is.

Order is everything: what a recovery ended signs nothing that comes later in the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from .._bytes import encode_base64url, parse_base64
from .._crypto import parse_p256_public_key, sha256
from .._json import Json, JsonObject
from ..dsse import UnverifiedEnvelope
from ..errors import TrustWardenError
from ..passkey import OwnerKey, Passkey
from ..records import ControlRecord
from .entries import text_of

_ENDINGS = ("recover", "end")


@dataclass(frozen=True, slots=True)
class _Known:
    passkey: Passkey
    credential: Json


class OwnerKeys:
    """Owns the keys of owners in one log; lives for one audit."""

    def __init__(self) -> None:
        self._of_file: dict[str, EllipticCurvePublicKey] = {}
        self._passkeys: dict[str, dict[str, _Known]] = {}

    def add(self, control: ControlRecord) -> None:
        """Takes an allowed event of an owner or person; call in the order of the log.

        Raises: TrustWardenError `record_malformed`, or what parsing keys is refused with.
        """
        subject, details = control.subject, control.details
        if control.kind == "owner" and subject is not None:
            if subject in self._of_file or subject in self._passkeys:
                raise _invalid("an owner registered twice")
            if "credential_id" in details:
                self._add_passkey(subject, details)
            else:
                self._of_file[subject] = parse_p256_public_key(parse_base64(text_of(details.get("spki"))))
        elif control.kind == "person" and control.chain:
            self._change(control.chain[0].removeprefix("owner:"), details)

    def key_for(self, owner: object, envelope: UnverifiedEnvelope) -> OwnerKey:
        """The key that must have signed a document for it to be the owner's.

        Raises: TrustWardenError `record_malformed` when the log knows of none.
        """
        if envelope.assertion is None:
            return self.key_of_file(owner)
        known = self._passkeys.get(str(owner), {}).get(envelope.unverified_keyid)
        if known is None:
            raise _invalid("a document by a passkey that was not the owner's")
        return known.passkey

    def key_of_file(self, owner: object) -> EllipticCurvePublicKey:
        """Of documents that no passkey signs.

        Raises: TrustWardenError `record_malformed`.
        """
        key = self._of_file.get(owner) if isinstance(owner, str) else None
        if key is None:
            raise _invalid("a document of an owner whom nobody registered")
        return key

    def _change(self, owner: str, details: JsonObject) -> None:
        if details.get("change") in _ENDINGS and owner in self._passkeys:
            self._passkeys[owner] = {}
        if "spki" in details:
            self._add_passkey(owner, details)
        elif "credential_id" in details:
            known = self._passkeys.get(owner, {})
            gone = details["credential_id"]
            self._passkeys[owner] = {keyid: one for keyid, one in known.items() if one.credential != gone}

    def _add_passkey(self, owner: str, details: JsonObject) -> None:
        spki, rp_id = parse_base64(text_of(details.get("spki"))), details.get("rp_id")
        passkey = Passkey(parse_p256_public_key(spki), rp_id if isinstance(rp_id, str) else None)
        known = _Known(passkey, details.get("credential_id"))
        self._passkeys.setdefault(owner, {})[encode_base64url(sha256(spki))] = known


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("record_malformed", {"reason": reason})
