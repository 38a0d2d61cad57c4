"""What a workload may believe of the Workload API's answers.

Each SVID is proven against the bundle of its own trust domain that came with it, and its key is its leaf's. An answer
of which one part is wrong is refused as a whole; only authorities of kinds that we do not verify with are left out, so
that a partner's choice of keys costs nobody an identity.

See: SPIFFE_Workload_API.md sections 5 and 6; X509-SVID section 5; JWT-SVID section 5
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from .._bytes import parse_base64url
from .._crypto import encode_spki, parse_p256_jwk
from .._der import read_first
from .._json import Json, JsonObject, is_json_list, is_json_object, parse_json_object
from ..bundle import MAX_BUNDLES, MAX_KEYS, MAX_KID_CHARS, TrustBundle, parse_trust_bundle_json
from ..errors import TrustWardenError
from ..jwt_signature import JwtKey, parse_jwt_key
from ..keys import InstanceKey
from ..spiffe import SpiffeId, TrustDomain, parse_spiffe_id, parse_trust_domain, trust_domain_of
from ..wit import verify_wit
from ..x509 import Certificate, parse_certificate, verify_x509_svid
from .messages import UnverifiedToken, UnverifiedX509State, UnverifiedX509Svid, decode_text, refused

T = TypeVar("T")

_MAX_SVIDS = 64
_MAX_CERTIFICATES = 64
_MAX_JWKS_CHARS = 262_144
_MAX_JWK_CHARS = 8192
_PKCS8 = re.compile(rb"\x30[\x00-\xff]{1,3}\x02\x01[\x00\x01]\x30", re.DOTALL)
_TRUST_DOMAIN_ID = re.compile(r"spiffe://([^/]+)")


@dataclass(frozen=True)
class WorkloadX509Svid:
    """A proven X.509-SVID with its key."""

    spiffe_id: SpiffeId
    chain: tuple[bytes, ...] = field(repr=False)
    """DER, leaf first, as a peer gets it."""
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    hint: str
    expires_at: int
    """Unix seconds."""


@dataclass(frozen=True)
class WorkloadWitSvid:
    """A proven WIT-SVID with its key: make a proof of possession with it for each request."""

    spiffe_id: SpiffeId
    svid: str = field(repr=False)
    """Compact JWS; never a bearer token."""
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    hint: str
    expires_at: int
    """Unix seconds."""


@dataclass(frozen=True)
class WorkloadX509State:
    """Everything that the workload has now; what is not here any more is withdrawn."""

    svids: tuple[WorkloadX509Svid, ...]
    """At least one; the first is the default. Of equal hints the first one counts."""
    bundles: Mapping[TrustDomain, TrustBundle] = field(repr=False)
    """Each SVID's own trust domain and the federated ones; X.509 authorities only."""


def verify_x509_state(state: UnverifiedX509State, now: float) -> WorkloadX509State:
    """Proves an answer. Raises `workload_answer_refused`; its cause says which rule was broken."""

    def read() -> WorkloadX509State:
        _require_few(state.svids)
        bundles = dict(parse_x509_bundles(state.federated_bundles))
        for svid in state.svids:
            trust_domain = trust_domain_of(parse_spiffe_id(svid.spiffe_id))
            bundles[trust_domain] = _x509_bundle_of(trust_domain, svid.bundle)
        svids = tuple(_verify_svid(svid, bundles, now) for svid in state.svids)
        return WorkloadX509State(svids, bundles)

    return _believe(read)


def verify_wit_state(
    tokens: Sequence[UnverifiedToken], bundles: Mapping[TrustDomain, TrustBundle], now: float
) -> tuple[WorkloadWitSvid, ...]:
    """Tokens that are proven, each with the key that it is bound to. Raises `workload_answer_refused`."""

    def read() -> tuple[WorkloadWitSvid, ...]:
        _require_few(tokens)
        return tuple(_verify_wit(token, bundles, now) for token in tokens)

    return _believe(read)


def parse_x509_bundles(bundles: Mapping[str, bytes]) -> Mapping[TrustDomain, TrustBundle]:
    """X.509 authorities by trust domain. Raises `workload_answer_refused`."""
    return _parse_bundles(bundles, _x509_bundle_of)


def parse_key_sets(
    bundles: Mapping[str, bytes], use: Literal["jwt-svid", "wit-svid"]
) -> Mapping[TrustDomain, TrustBundle]:
    """JWT or WIT authorities by trust domain. Raises `workload_answer_refused`."""

    def parse(trust_domain: TrustDomain, data: bytes) -> TrustBundle:
        keys = parse_json_object(decode_text(data), _MAX_JWKS_CHARS).get("keys")
        if not is_json_list(keys):
            raise refused("a JWK Set without keys")
        if len(keys) > MAX_KEYS:
            raise refused("too many keys")
        # Here most keys stand without `use`: the call says what they are for. What names another is another kind's.
        ours = [key for key in keys if is_json_object(key) and key.get("use", use) == use]
        if use == "jwt-svid":
            return TrustBundle(trust_domain, 0, (), jwt_keys=_jwt_keys_of(ours))
        named: list[Json] = [{**key, "use": use} for key in ours]
        return parse_trust_bundle_json({"keys": named}, trust_domain)

    return _parse_bundles(bundles, parse)


def _jwt_keys_of(keys: Sequence[JsonObject]) -> Mapping[str, JwtKey]:
    found: dict[str, JwtKey] = {}
    for jwk in keys:
        key = parse_jwt_key(jwk)
        if key is None:
            continue
        kid = jwk.get("kid")
        if not isinstance(kid, str) or kid == "" or len(kid) > MAX_KID_CHARS:
            raise refused("kid")
        if kid in found:
            raise refused("repeated kid")
        found[kid] = key
    return found


def _parse_bundles(
    bundles: Mapping[str, bytes], parse: Callable[[TrustDomain, bytes], TrustBundle]
) -> Mapping[TrustDomain, TrustBundle]:
    def read() -> Mapping[TrustDomain, TrustBundle]:
        if len(bundles) > MAX_BUNDLES:
            raise refused("too many bundles")
        found: dict[TrustDomain, TrustBundle] = {}
        for key, data in bundles.items():
            match = _TRUST_DOMAIN_ID.fullmatch(key)
            trust_domain = parse_trust_domain(match[1] if match else "")
            found[trust_domain] = parse(trust_domain, data)
        return found

    return _believe(read)


def _x509_bundle_of(trust_domain: TrustDomain, data: bytes) -> TrustBundle:
    found: list[Certificate] = []
    for der in _split_certificates(data):
        try:
            found.append(parse_certificate(der))
        except TrustWardenError as error:
            # Of a kind that we do not verify with: nobody is proven by it.
            if error.code != "svid_key_refused":
                raise
    return TrustBundle(trust_domain, 0, tuple(found))


def _verify_svid(svid: UnverifiedX509Svid, bundles: Mapping[TrustDomain, TrustBundle], now: float) -> WorkloadX509Svid:
    chain = _split_certificates(svid.chain)
    proven = verify_x509_svid(chain, bundles, now)
    if proven.id != svid.spiffe_id:
        raise refused("the leaf names another")
    private = _parse_pkcs8(svid.key_pkcs8)
    if encode_spki(private.public_key()) != proven.leaf.spki:
        raise refused("the key is not the leaf's")
    return WorkloadX509Svid(proven.id, chain, private, svid.hint, proven.leaf.not_after)


def _verify_wit(token: UnverifiedToken, bundles: Mapping[TrustDomain, TrustBundle], now: float) -> WorkloadWitSvid:
    spiffe_id = parse_spiffe_id(token.spiffe_id)
    private = _parse_private_jwk(token.key_jwk)
    # Proves also that the token names this id and this key.
    expires_at = verify_wit(token.svid, spiffe_id, InstanceKey(private).thumbprint, bundles=bundles, now=now)
    return WorkloadWitSvid(spiffe_id, token.svid, private, token.hint, expires_at)


def _parse_pkcs8(der: bytes) -> ec.EllipticCurvePrivateKey:
    # PKCS#8 and nothing else: a version, then the algorithm. SEC 1, which OpenSSL takes too, goes on with the key.
    if _PKCS8.match(der) is None:
        raise refused("not a key in PKCS#8")
    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise refused("not a key") from cause
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise refused("not a P-256 key")
    return key


def _parse_private_jwk(text: str) -> ec.EllipticCurvePrivateKey:
    jwk = parse_json_object(text, _MAX_JWK_CHARS)
    scalar = jwk.get("d")
    public = parse_p256_jwk({name: value for name, value in jwk.items() if name != "d"})
    if not isinstance(scalar, str):
        raise refused("not a private key")
    try:
        private = ec.derive_private_key(int.from_bytes(parse_base64url(scalar), "big"), ec.SECP256R1())
    except ValueError as cause:
        raise refused("not a key") from cause
    if encode_spki(private.public_key()) != encode_spki(public):
        raise refused("a key of two halves")
    return private


def _split_certificates(data: bytes) -> tuple[bytes, ...]:
    """The elements of concatenated DER, one a certificate."""
    found: list[bytes] = []
    rest = data
    while rest:
        if len(found) == _MAX_CERTIFICATES:
            raise refused("too many certificates")
        der = read_first(rest)
        found.append(der)
        rest = rest[len(der) :]
    return tuple(found)


def _require_few(svids: Sequence[object]) -> None:
    if len(svids) > _MAX_SVIDS:
        raise refused("too many SVIDs")
    if not svids:
        raise refused("no SVID")


def _believe(read: Callable[[], T]) -> T:
    """Every broken rule of an answer is one refusal of the answer."""
    try:
        return read()
    except TrustWardenError as cause:
        if cause.code == "workload_answer_refused":
            raise
        raise refused(cause.code) from cause
