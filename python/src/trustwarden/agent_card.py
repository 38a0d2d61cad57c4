"""Agent cards of A2A, signed by the agent that they describe, and believed by its trust domain's bundle.

The key is the instance's SVID key, and its chain goes along: whoever has the bundle can say which instance published
the card, and the card counts no longer than the SVID does. Nobody is asked here: a revoked instance's card verifies
until its SVID ends. No card is signed or believed of which the protocol's rules would leave out what means anything.

See A2A 1.0.1 section 8.4: JWS (RFC 7515) over RFC 8785, without default values and without `signatures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._bytes import encode_base64, encode_base64url, parse_base64, parse_base64url, parse_utf8
from ._crypto import is_p256_signature
from ._json import Json, JsonObject, encode_canonical_json, is_json_list, is_json_object, parse_json_object
from .bundle import TrustBundle
from .errors import TrustWardenError, fail
from .keys import InstanceKey
from .spiffe import SpiffeId, TrustDomain
from .x509 import parse_certificate, verify_x509_svid

_MEMBERS = frozenset(
    (
        "name",
        "description",
        "supportedInterfaces",
        "provider",
        "version",
        "documentationUrl",
        "capabilities",
        "securitySchemes",
        "securityRequirements",
        "defaultInputModes",
        "defaultOutputModes",
        "skills",
        "signatures",
        "iconUrl",
    )
)
"""Of a card; a reader of the schema would drop any other, and so see another card than was signed."""
_DEFAULT_FALSE = frozenset(("required", "pkceRequired"))
"""Booleans that the protocol's schema leaves out when they are false; others are kept as they are."""
_SECURITY = frozenset(("securitySchemes", "securityRequirements"))
"""Members, of the card or of a skill, below which nothing may be left out."""
_MAX_SIGNATURES = 8
_MAX_CERTIFICATES = 4


def encode_card_payload(card: JsonObject) -> bytes:
    """The bytes that are signed. Raises `agent_card_malformed`."""
    unknown = next((name for name in card if name not in _MEMBERS), None)
    if unknown is not None:
        raise _malformed(f"unknown member {unknown[:64]}")
    kept = _clean({name: value for name, value in card.items() if name != "signatures"}, "", is_security=False)
    return encode_canonical_json({} if kept is None else kept)


def sign_card(card: JsonObject, chain: Sequence[bytes], key: InstanceKey) -> JsonObject:
    """The card with one more signature, by an SVID's key. Raises `agent_card_malformed`."""
    header: JsonObject = {
        "alg": "ES256",
        "kid": parse_certificate(chain[0]).sha256,
        "typ": "JOSE",
        "x5c": [encode_base64(der) for der in chain],
    }
    protected = encode_base64url(encode_canonical_json(header))
    signature = key.sign(f"{protected}.{encode_base64url(encode_card_payload(card))}".encode())
    entry: JsonObject = {"protected": protected, "signature": encode_base64url(signature)}
    return {**card, "signatures": [*_signatures_of(card), entry]}


def verify_card(card: JsonObject, bundles: Mapping[TrustDomain, TrustBundle], now: float) -> SpiffeId:
    """Who published the card: the first signature by an SVID that counts now.

    Raises `agent_card_malformed`, or `signature_invalid` when no signature holds.
    """
    payload = encode_base64url(encode_card_payload(card))
    first: TrustWardenError | None = None
    for entry in _signatures_of(card):
        try:
            return _verify_signature(entry, payload, bundles, now)
        except TrustWardenError as cause:
            # Another signature may hold; when none does, the card is refused with what was found.
            first = first or cause
    raise fail("signature_invalid", {"reason": "no signature holds"}) from first


def _verify_signature(entry: Json, payload: str, bundles: Mapping[TrustDomain, TrustBundle], now: float) -> SpiffeId:
    if not is_json_object(entry):
        raise _malformed("signature")
    text, signature = entry.get("protected"), entry.get("signature")
    if not isinstance(text, str) or not isinstance(signature, str):
        raise _malformed("signature")
    header = parse_json_object(parse_utf8(parse_base64url(text)))
    if header.get("alg") != "ES256" or header.get("typ") != "JOSE" or "crit" in header:
        raise _malformed("header")
    x5c = header.get("x5c")
    if not is_json_list(x5c) or len(x5c) > _MAX_CERTIFICATES:
        raise _malformed("x5c")
    chain = [parse_base64(der) if isinstance(der, str) else b"" for der in x5c]
    svid = verify_x509_svid(chain, bundles, now)
    if header.get("kid") != svid.leaf.sha256:
        raise _malformed("kid")
    if not is_p256_signature(svid.leaf.public_key, f"{text}.{payload}".encode(), parse_base64url(signature)):
        raise fail("signature_invalid")
    return svid.id


def _signatures_of(card: JsonObject) -> Sequence[Json]:
    signatures = card.get("signatures", [])
    if not is_json_list(signatures) or len(signatures) > _MAX_SIGNATURES:
        raise _malformed("signatures")
    return signatures


def _clean(value: Json, name: str, *, is_security: bool) -> Json:
    """Without what the schema takes for absent: empty texts, lists and objects, null, and some booleans; None for all.

    Raises `agent_card_malformed` for what would change the meaning of what is left.
    """
    if value is None or value == "" or (value is False and name in _DEFAULT_FALSE):
        return None
    is_below = is_security or name in _SECURITY
    if is_json_list(value):
        items = [_clean(item, "", is_security=is_below) for item in value]
        if None in items:
            raise _malformed(f"an empty item of {name[:64]} would not be signed")
        return items or None
    if not is_json_object(value):
        return value
    members: dict[str, Json] = {}
    for key, member in value.items():
        kept = _clean(member, key, is_security=is_below)
        if kept is not None:
            members[key] = kept
        elif is_below:
            raise _malformed(f"an empty {key[:64]} would not be signed")
    return members or None


def _malformed(reason: str) -> TrustWardenError:
    return fail("agent_card_malformed", {"reason": reason})
