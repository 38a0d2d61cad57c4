"""The private key of one SVID: made here, used here, gone with the process.

What a log, a pickler or a copier sees of an `InstanceKey` is its public thumbprint.
"""

from __future__ import annotations

from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ._crypto import encode_spki, format_thumbprint
from .errors import fail
from .runtime import process_id

_ES256 = ec.ECDSA(SHA256())
_SCALAR_BYTES = 32


class InstanceKey:
    """A P-256 key of this process: it signs and opens TLS connections, and is never shown, copied or pickled.

    A forked child has a copy in its memory, which signs nothing: two processes that act as one would number their
    intents twice, and one that is stopped would go on in the other.
    """

    __slots__ = ("_pid", "_private", "public_key", "spki", "thumbprint")

    def __init__(self, private: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._private = private or ec.generate_private_key(ec.SECP256R1())
        self._pid = process_id()
        self.public_key = self._private.public_key()
        self.spki = encode_spki(self.public_key)
        """SubjectPublicKeyInfo, DER."""
        self.thumbprint = format_thumbprint(self.public_key)
        """RFC 7638, base64url."""

    def sign(self, data: bytes) -> bytes:
        """64 bytes r||s over SHA-256(data). Raises `identity_closed` in a forked child."""
        self._require_own_process()
        r, s = decode_dss_signature(self._private.sign(data, _ES256))
        return r.to_bytes(_SCALAR_BYTES, "big") + s.to_bytes(_SCALAR_BYTES, "big")

    def lend_to_tls(self) -> ec.EllipticCurvePrivateKey:
        """The key for `tls.py`, which hands it to OpenSSL; nobody else calls this. Raises as `sign`."""
        self._require_own_process()
        return self._private

    def _require_own_process(self) -> None:
        if process_id() != self._pid:
            raise fail("identity_closed", {"reason": "the process was forked"})

    def __repr__(self) -> str:
        return f"InstanceKey({self.thumbprint})"

    def __reduce__(self) -> NoReturn:
        """Never leaves the process, nor into a copy."""
        raise TypeError("a private key is neither copied nor pickled")
