"""What a human signs by a passkey: a WebAuthn assertion whose challenge is the digest of one document.

The assertion goes along in the document's envelope, so whoever has the key of the person's own event in the ledger
checks it offline, as any signature. Only one spelling of what a browser signs is read, the one that WebAuthn promises.

See: W3C WebAuthn Level 3, 5.8.1.2 (limited verification algorithm), 6.1 and 7.2
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ._bytes import encode_base64url
from ._crypto import is_p256_signature, sha256
from .errors import TrustWardenError

_AUTHENTICATOR_DATA_BYTES = 37
_MAX_CLIENT_DATA_BYTES = 1024
# User present and verified, no attested data, no extensions.
_FLAGS, _EXPECTED_FLAGS = 0xC5, 0x05
_CLIENT_DATA = re.compile(
    rb'\{"type":"webauthn\.get","challenge":"([A-Za-z0-9_-]{43})",'
    rb'"origin":"(https?://([a-z0-9.-]{1,253})(?::[0-9]{1,5})?)","crossOrigin":false[,}]'
)


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a device adds to a signature."""

    authenticator_data: bytes
    """Digest of the host, flags, and the device's count."""
    client_data: bytes
    """What the browser says it was for, as JSON."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A key that only a device has, and where it may be used."""

    public_key: EllipticCurvePublicKey
    rp_id: str | None
    """Host that the key was made for, as the log says; None where it does not, and the origin's host has to be it."""


OwnerKey = EllipticCurvePublicKey | Passkey
"""A key that owners sign with: of a file, or of a device."""


def public_key_of(key: OwnerKey) -> EllipticCurvePublicKey:
    """The public key itself, whatever holds its other half."""
    return key.public_key if isinstance(key, Passkey) else key


def require_asserted(key: Passkey, pae: bytes, assertion: Assertion, signature: bytes) -> None:
    """Refuses whatever a verified human has not signed with this key for these bytes.

    Raises: TrustWardenError `signature_invalid`; its `reason` says what was another.
    """
    data, client = assertion.authenticator_data, assertion.client_data
    if len(data) != _AUTHENTICATOR_DATA_BYTES or len(client) > _MAX_CLIENT_DATA_BYTES:
        raise _invalid("authenticator data")
    if data[32] & _FLAGS != _EXPECTED_FLAGS:
        raise _invalid("user not verified")
    found = _CLIENT_DATA.match(client)
    if found is None:
        raise _invalid("client data")
    challenge, origin, host = (part.decode("ascii") for part in found.groups())
    if challenge != encode_base64url(sha256(pae)):
        raise _invalid("challenge")
    if not origin.startswith("https://") and host != "localhost":
        raise _invalid("origin")
    if data[:32] != sha256(host.encode("ascii")) or (key.rp_id is not None and key.rp_id != host):
        raise _invalid("relying party")
    if not is_p256_signature(key.public_key, data + sha256(client), signature):
        raise _invalid("signature")


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("signature_invalid", {"reason": reason})
