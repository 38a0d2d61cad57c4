"""What a JWT-SVID must not be, in the eyes of a workload that was handed one: rows D3 and D4 of the attacks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from trustwarden import TrustWardenError
from trustwarden._bytes import encode_base64url
from trustwarden._crypto import hmac_sha256
from trustwarden._json import JsonObject
from trustwarden.bundle import TrustBundle
from trustwarden.jwt_signature import JwtKey, parse_jwt_key
from trustwarden.jwt_svid import verify_jwt_svid
from trustwarden.keys import InstanceKey
from trustwarden.spiffe import TrustDomain

DOMAIN = TrustDomain("ours.test")
KEY, OTHER = InstanceKey(), InstanceKey()
NOW = int(time.time())
HEADER: dict[str, Any] = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"sub": "spiffe://ours.test/team/pay", "aud": ["a", "b"], "exp": NOW + 300, "iat": NOW}
BUNDLES = {
    DOMAIN: TrustBundle(
        DOMAIN,
        0,
        (),
        token_keys=(KEY.public_key, OTHER.public_key),
        jwt_keys={"k1": JwtKey(KEY.public_key)},
        wit_keys={"k2": OTHER.public_key},
    )
}


def part(value: object) -> str:
    return encode_base64url((value if isinstance(value, str) else json.dumps(value)).encode())


def token(
    header: object = HEADER, claims: object = CLAIMS, sign: Callable[[bytes], bytes] = KEY.sign, tail: str = ""
) -> str:
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{encode_base64url(sign(signed.encode()))}{tail}"


def verify(text: str, audience: tuple[str, ...] = ("a", "b")) -> str:
    try:
        return verify_jwt_svid(text, audience=audience, bundles=BUNDLES, now=NOW).id
    except TrustWardenError as error:
        return error.code


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


@pytest.mark.parametrize(
    "good",
    [
        token(),
        token(without(HEADER, "kid")),
        token(without(HEADER, "typ")),
        token(claims={**CLAIMS, "exp": NOW + 1}),
        token(claims={**CLAIMS, "iat": NOW + 10}),
        token(claims={**CLAIMS, "exp": NOW + 3600}),
        token(claims={**without(CLAIMS, "iat"), "nbf": NOW}),
    ],
)
def test_a_token_just_inside_of_the_rules_is_believed(good: str) -> None:
    assert verify(good) == CLAIMS["sub"]


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("svid_malformed", token({**HEADER, "alg": "none"}, sign=lambda _: b"")),
        ("svid_malformed", token({**HEADER, "alg": "None"})),
        ("svid_malformed", token({**HEADER, "alg": "HS256"}, sign=lambda data: hmac_sha256(KEY.spki, data))),
        ("svid_malformed", token(without(HEADER, "alg"))),
        ("svid_malformed", token({**HEADER, "jwk": {}})),
        ("svid_malformed", token({**HEADER, "crit": ["b64"], "b64": False})),
        ("svid_malformed", token({**HEADER, "typ": "wit+jwt"})),
        ("svid_malformed", token({**HEADER, "typ": None})),
        ("svid_malformed", token({**HEADER, "kid": 1})),
        ("svid_malformed", token({**HEADER, "kid": ""})),
        ("svid_untrusted", token({**HEADER, "kid": "../k1"})),
        ("svid_untrusted", token({**HEADER, "kid": "k2"}, sign=OTHER.sign)),
        ("svid_untrusted", token(without(HEADER, "kid"), sign=OTHER.sign)),
        ("svid_untrusted", token(sign=lambda _: b"\0" * 64)),
        ("svid_malformed", token(tail="=")),
        ("svid_malformed", token(tail=" ")),
        ("svid_malformed", token(tail="\n")),
        ("svid_malformed", token() + ".x"),
        ("svid_malformed", "a.b"),
        ("svid_malformed", "x" * 8193),
        ("svid_malformed", token(claims=without(CLAIMS, "exp"))),
        ("svid_malformed", token(claims={**CLAIMS, "exp": str(NOW + 300)})),
        ("svid_malformed", token(claims={**CLAIMS, "exp": NOW + 0.5})),
        ("svid_malformed", token(claims=json.dumps(CLAIMS).replace(str(NOW + 300), "1e400"))),
        ("svid_malformed", token(claims={**CLAIMS, "exp": -1})),
        ("svid_malformed", token(claims={**CLAIMS, "exp": None})),
        ("svid_expired", token(claims={**CLAIMS, "exp": NOW})),
        ("svid_not_yet_valid", token(claims={**CLAIMS, "nbf": NOW + 11})),
        ("svid_not_yet_valid", token(claims={**CLAIMS, "iat": NOW + 11})),
        ("svid_too_long_lived", token(claims={**CLAIMS, "exp": NOW + 3601})),
        ("svid_malformed", token(claims=without(CLAIMS, "aud"))),
        ("svid_malformed", token(claims={**CLAIMS, "aud": []})),
        ("svid_malformed", token(claims={**CLAIMS, "aud": ["a", 1]})),
        ("svid_malformed", token(claims={**CLAIMS, "aud": {"a": 1}})),
        ("svid_malformed", token(claims={**CLAIMS, "aud": [str(each) for each in range(17)]})),
        ("svid_audience", token(claims={**CLAIMS, "aud": ["a"]})),
        ("svid_audience", token(claims={**CLAIMS, "aud": "a,b"})),
        ("svid_malformed", token(claims={**CLAIMS, "sub": "spiffe://ours.test"})),
        ("svid_malformed", token(claims={**CLAIMS, "sub": ["spiffe://ours.test/x"]})),
        ("trust_domain_unknown", token(claims={**CLAIMS, "sub": "spiffe://other.test/x"})),
        ("svid_malformed", token(claims=json.dumps(CLAIMS)[:-1] + ', "aud": "a"}')),
    ],
)
def test_a_token_outside_of_the_rules_is_refused(code: str, bad: str) -> None:
    assert verify(bad) == code


CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
EC_KEYS = {name: ec.generate_private_key(curve) for name, curve in CURVES.items()}
RSA_KEY = rsa.generate_private_key(65_537, 2048)
HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


def octets(value: int, size: int | None = None) -> str:
    return encode_base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk_of(algorithm: str) -> JsonObject:
    if algorithm in EC_KEYS:
        size = (EC_KEYS[algorithm].key_size + 7) // 8
        point = EC_KEYS[algorithm].public_key().public_numbers()
        crv = f"P-{EC_KEYS[algorithm].key_size}"
        return {"kty": "EC", "crv": crv, "x": octets(point.x, size), "y": octets(point.y, size)}
    numbers = RSA_KEY.public_key().public_numbers()
    return {"kty": "RSA", "n": octets(numbers.n), "e": octets(numbers.e)}


def signed_by(algorithm: str, data: bytes) -> bytes:
    digest = HASHES[algorithm[2:]]
    if algorithm in EC_KEYS:
        size = (EC_KEYS[algorithm].key_size + 7) // 8
        r, s = decode_dss_signature(EC_KEYS[algorithm].sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
    return RSA_KEY.sign(data, pss if algorithm.startswith("PS") else padding.PKCS1v15(), digest)


def verified(algorithm: str, jwk: JsonObject, alg: str | None = None, kid: object = "k1") -> str:
    key = parse_jwt_key(jwk)
    bundles = {DOMAIN: TrustBundle(DOMAIN, 0, (), jwt_keys={} if key is None else {"k1": key})}
    text = token({"alg": alg or algorithm, "kid": kid}, sign=lambda data: signed_by(algorithm, data))
    try:
        return verify_jwt_svid(text, audience=["a"], bundles=bundles, now=NOW).id
    except TrustWardenError as error:
        return error.code


@pytest.mark.parametrize("algorithm", [*EC_KEYS, *RSA_ALGORITHMS])
def test_each_of_the_nine_algorithms_is_proven_by_a_key_of_its_kind_and_by_no_other(algorithm: str) -> None:
    jwk = jwk_of(algorithm)
    assert verified(algorithm, jwk) == CLAIMS["sub"]
    assert verified(algorithm, {**jwk, "alg": algorithm}) == CLAIMS["sub"]
    for other in (*EC_KEYS, *RSA_ALGORITHMS):
        if other == algorithm:
            continue
        # A token chooses neither how a key is used, nor what the key itself says it is for.
        assert verified(algorithm, jwk, alg=other) == "svid_untrusted"
        assert verified(algorithm, {**jwk, "alg": other}) == "svid_untrusted"
        assert verified(other, jwk_of(other), kid="k2") == "svid_untrusted"


@pytest.mark.parametrize(
    ("jwk", "code"),
    [
        ({**jwk_of("ES256"), "alg": "EdDSA"}, None),
        ({**jwk_of("ES256"), "alg": ["ES256"]}, None),
        ({**jwk_of("ES256"), "key_ops": ["sign"]}, None),
        ({"kty": "OKP", "crv": "Ed25519", "x": "AA"}, None),
        ({**jwk_of("ES256"), "crv": ["P-256"]}, None),
        ({"kty": "RSA", "n": octets((1 << 2046) + 1), "e": "AQAB"}, None),
        ({**jwk_of("ES256"), "d": "AA"}, "public_key_refused"),
        ({**jwk_of("ES256"), "x": jwk_of("ES384")["x"]}, "public_key_refused"),
        ({**jwk_of("ES256"), "y": octets(1, 32)}, "public_key_refused"),
        ({**jwk_of("RS256"), "e": "Ag"}, "public_key_refused"),
        ({"kty": "RSA", "n": 1, "e": "AQAB"}, "public_key_refused"),
    ],
)
def test_a_key_of_another_kind_is_left_out_and_a_malformed_one_refused(jwk: JsonObject, code: str | None) -> None:
    try:
        assert parse_jwt_key(jwk) is None
        assert code is None
    except TrustWardenError as error:
        assert error.code == code
