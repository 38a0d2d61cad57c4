"""Documents that passkeys sign: what is taken, and what only looks like it."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from trustwarden import TrustWardenError
from trustwarden._bytes import encode_base64url
from trustwarden.passkey import Assertion, Passkey, require_asserted

_HOST = "console.acme.test"
_PAE = b"DSSEv1 4 type 2 {}"


def _sign(key: EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _assert(
    key: EllipticCurvePrivateKey, *, pae: bytes = _PAE, host: str = _HOST, flags: int = 5, kind: str = "webauthn.get"
) -> tuple[Assertion, bytes]:
    challenge = encode_base64url(sha256(pae).digest())
    members = {"type": kind, "challenge": challenge, "origin": f"https://{host}", "crossOrigin": False}
    client = json.dumps(members, separators=(",", ":")).encode()
    data = sha256(host.encode()).digest() + bytes([flags, 0, 0, 0, 1])
    return Assertion(data, client), _sign(key, data + sha256(client).digest())


@pytest.mark.parametrize("rp_id", [_HOST, None])
def test_an_assertion_of_exactly_these_bytes_is_taken(rp_id: str | None) -> None:
    key = generate_private_key(SECP256R1())
    assertion, signature = _assert(key)
    require_asserted(Passkey(key.public_key(), rp_id), _PAE, assertion, signature)


@pytest.mark.parametrize(
    ("reason", "otherwise"),
    [
        ("challenge", {"pae": b"another document"}),
        ("relying party", {"host": "elsewhere.test"}),
        ("user not verified", {"flags": 1}),
        ("user not verified", {"flags": 0x85}),
        ("client data", {"kind": "webauthn.create"}),
    ],
)
def test_anything_else_is_refused(reason: str, otherwise: dict[str, object]) -> None:
    key = generate_private_key(SECP256R1())
    assertion, signature = _assert(key, **otherwise)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TrustWardenError) as caught:
        require_asserted(Passkey(key.public_key(), _HOST), _PAE, assertion, signature)
    assert (caught.value.code, caught.value.details["reason"]) == ("signature_invalid", reason)


def test_another_key_is_refused() -> None:
    assertion, signature = _assert(generate_private_key(SECP256R1()))
    other = Passkey(generate_private_key(SECP256R1()).public_key(), _HOST)
    with pytest.raises(TrustWardenError) as caught:
        require_asserted(other, _PAE, assertion, signature)
    assert caught.value.details["reason"] == "signature"
