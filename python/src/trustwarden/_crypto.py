"""The only place of the verifying half that touches a cryptography library: hashes, signature checks, public keys.

Nothing here holds a private key. P-256 signatures are 64 bytes r||s everywhere except inside X.509.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ._bytes import encode_base64url, parse_base64url
from ._json import JsonObject
from .errors import TrustWardenError

P256_SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of a P-256 key up to the two coordinates of its uncompressed point (RFC 5480)."""
P256_SPKI_BYTES = len(P256_SPKI_PREFIX) + 64


def sha256(data: bytes) -> bytes:
    """SHA-256 digest, 32 bytes."""
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes."""
    return hmac.digest(key, data, "sha256")


def is_equal_secret(left: bytes, right: bytes) -> bool:
    """Constant-time equality, for anything secret or derived from a secret."""
    return hmac.compare_digest(left, right)


def parse_p256_public_key(spki: bytes) -> EllipticCurvePublicKey:
    """A P-256 public key from SubjectPublicKeyInfo DER.

    Raises: TrustWardenError `public_key_refused` for any other algorithm, curve or spelling, or a point off the curve.
    """
    # One spelling a key, or one key could be certified again as another.
    if len(spki) != P256_SPKI_BYTES or not spki.startswith(P256_SPKI_PREFIX):
        raise TrustWardenError("public_key_refused", {"reason": "not an uncompressed P-256 key"})
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise TrustWardenError("public_key_refused", {"reason": "not a public key"}) from cause
    if not isinstance(key, EllipticCurvePublicKey):
        raise TrustWardenError("public_key_refused", {"reason": "not a public key"})
    return key


def parse_ed25519_public_key(raw: bytes) -> Ed25519PublicKey:
    """An Ed25519 public key from its 32 raw bytes.

    Raises: TrustWardenError `public_key_refused`.
    """
    if len(raw) != 32:
        raise TrustWardenError("public_key_refused", {"reason": "not 32 bytes"})
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise TrustWardenError("public_key_refused", {"reason": "not a public key"}) from cause


def parse_p256_jwk(jwk: JsonObject) -> EllipticCurvePublicKey:
    """A P-256 public key from a JWK.

    Raises: TrustWardenError `public_key_refused`.
    """
    x, y = jwk.get("x"), jwk.get("y")
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or not isinstance(x, str) or not isinstance(y, str):
        raise TrustWardenError("public_key_refused", {"reason": "not a P-256 JWK"})
    try:
        numbers = EllipticCurvePublicNumbers(_coordinate(x), _coordinate(y), SECP256R1())
        return numbers.public_key()
    except ValueError as cause:
        raise TrustWardenError("public_key_refused", {"reason": "not a public key"}) from cause


def _coordinate(text: str) -> int:
    try:
        data = parse_base64url(text)
    except TrustWardenError as cause:
        raise TrustWardenError("public_key_refused", {"reason": "not a public key"}) from cause
    if len(data) != 32:
        raise TrustWardenError("public_key_refused", {"reason": "not a public key"})
    return int.from_bytes(data, "big")


def encode_spki(key: EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo DER of a key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def format_p256_jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    """The public JWK members of a P-256 key."""
    point = encode_spki(key)[len(P256_SPKI_PREFIX) :]
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": encode_base64url(point[:32]),
        "y": encode_base64url(point[32:]),
    }


def format_thumbprint(key: EllipticCurvePublicKey) -> str:
    """RFC 7638 thumbprint of a P-256 key, base64url."""
    jwk = format_p256_jwk(key)
    return encode_base64url(sha256(f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'.encode()))


def is_p256_signature(key: EllipticCurvePublicKey, data: bytes, signature: bytes) -> bool:
    """Whether a 64-byte r||s P-256 signature over SHA-256(data) is good."""
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), data, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def is_ed25519_signature(key: Ed25519PublicKey, data: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is good."""
    if len(signature) != 64:
        return False
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
