"""What a JWT-SVID must not be, in the eyes of a workload that was handed one: rows D3 and D4 of the attacks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from trustwarden import TrustWardenError
from trustwarden._bytes import encode_base64url
from trustwarden._crypto import hmac_sha256
from trustwarden.bundle import TrustBundle
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
        jwt_keys={"k1": KEY.public_key},
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
