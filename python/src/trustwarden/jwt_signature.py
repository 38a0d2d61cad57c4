"""Signatures of JWT-SVIDs by all nine algorithms of the standard, for workloads that meet other issuers than ours.

See: JWT-SVID section 2.1; RFC 7518 sections 3.3 to 3.5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from ._bytes import parse_base64url
from ._json import JsonObject, is_json_list
from .errors import TrustWardenError

_MIN_RSA_BITS = 2048
"""RFC 7518 section 3.3."""
_MAX_RSA_BITS = 8192
"""A larger key makes each check cost more than it is worth."""
_HASHES: dict[str, HashAlgorithm] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
_CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
    "P-521": (ec.SECP521R1(), 66),
}
_CURVE_OF = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
JWT_SVID_ALGORITHMS = frozenset((*_CURVE_OF, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
"""Every `alg` that a JWT-SVID may have."""


@dataclass(frozen=True)
class JwtKey:
    """A public key of JWT-SVIDs."""

    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    algorithm: str | None = None
    """The only one that it signs by, where its JWK says so (RFC 7517 section 4.4)."""


def is_jwt_algorithm(value: object) -> TypeGuard[str]:
    """Whether a JSON value names one of the nine."""
    return isinstance(value, str) and value in JWT_SVID_ALGORITHMS


def is_jwt_signature(key: JwtKey, algorithm: str, data: bytes, signature: bytes) -> bool:
    """Whether a signature is good.

    A key of another kind or curve than the algorithm's is never asked, so that no token chooses how its key is used.
    """
    if algorithm not in JWT_SVID_ALGORITHMS or key.algorithm not in (None, algorithm):
        return False
    digest = _HASHES[algorithm[2:]]
    try:
        if isinstance(key.key, ec.EllipticCurvePublicKey):
            return _is_ec_signature(key.key, algorithm, data, signature)
        if algorithm.startswith("RS"):
            key.key.verify(signature, data, padding.PKCS1v15(), digest)
        elif algorithm.startswith("PS"):
            salted = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            key.key.verify(signature, data, salted, digest)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def parse_jwt_key(jwk: JsonObject) -> JwtKey | None:
    """The public key of a JWK; None for a kind that signs no JWT-SVID, and for RSA keys of an odd size.

    Raises: TrustWardenError `public_key_refused` for a malformed key of a kind that does, and for a private one.
    """
    algorithm, operations = jwk.get("alg"), jwk.get("key_ops")
    kind, curve = jwk.get("kty"), str(jwk.get("crv"))
    if "alg" in jwk and not is_jwt_algorithm(algorithm):
        return None
    if is_json_list(operations) and "verify" not in operations:
        return None
    if kind != "RSA" and not (kind == "EC" and curve in _CURVES):
        return None
    if "d" in jwk:
        raise _refused("a private key")
    named = algorithm if is_jwt_algorithm(algorithm) else None
    try:
        if kind == "EC":
            return JwtKey(_parse_ec(curve, jwk), named)
        modulus = int.from_bytes(_octets(jwk, "n"), "big")
        if not _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS:
            return None
        return JwtKey(rsa.RSAPublicNumbers(int.from_bytes(_octets(jwk, "e"), "big"), modulus).public_key(), named)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise _refused("not a public key") from cause


def _is_ec_signature(key: ec.EllipticCurvePublicKey, algorithm: str, data: bytes, signature: bytes) -> bool:
    size = (key.curve.key_size + 7) // 8
    if _CURVE_OF.get(algorithm) != key.curve.name or len(signature) != 2 * size:
        return False
    r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    key.verify(encode_dss_signature(r, s), data, ec.ECDSA(_HASHES[algorithm[2:]]))
    return True


def _parse_ec(name: str, jwk: JsonObject) -> ec.EllipticCurvePublicKey:
    curve, size = _CURVES[name]
    x, y = _octets(jwk, "x"), _octets(jwk, "y")
    if len(x) != size or len(y) != size:
        raise _refused("a coordinate")
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


def _octets(jwk: JsonObject, name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise _refused(name)
    return parse_base64url(value)


def _refused(reason: str) -> TrustWardenError:
    return TrustWardenError("public_key_refused", {"reason": reason})
