"""Trust bundles: the authorities of one trust domain, as the SPIFFE bundle document.

A bundle always knows its trust domain and is never merged with another. Keys of kinds that are not used here (RSA,
P-384, unknown uses) are left out, as the specification asks; a key of ours that is malformed refuses the whole
document, because half a bundle would silently drop an authority.

See: SPIFFE Trust Domain and Bundle §4, §5; X509-SVID §6; JWT-SVID §6; WIT-SVID §6
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ._bytes import encode_base64url, parse_base64
from ._crypto import encode_spki, parse_p256_jwk, sha256
from ._json import Json, JsonObject, is_json_list, is_json_object, is_safe_integer, parse_json_object
from .errors import TrustWardenError
from .jwt_signature import JwtKey
from .spiffe import TrustDomain, format_spiffe_id, parse_trust_domain
from .x509 import Certificate, parse_certificate

MAX_KEYS = 64
"""A rotation holds a few keys of each kind; this also bounds the keys a verifier may have to try."""
MAX_BUNDLE_CHARS = 262_144
MAX_BUNDLES = 256
_MAX_MAP_CHARS = 4_194_304
MAX_KID_CHARS = 256
_MAX_REVOKED = 64
# Ours, beside the specification's members; consumers that do not know it ignore it.
_REVOKED_MEMBER = "trustwarden_revoked"
_KEY_IDENTIFIER = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class TrustBundle:
    """The authorities of one trust domain at one sequence number."""

    trust_domain: TrustDomain
    sequence: int
    """Rises whenever the contents change; 0 where the document has none."""
    x509_authorities: tuple[Certificate, ...]
    """Empty means that no X.509-SVID of the trust domain is trusted."""
    token_keys: tuple[EllipticCurvePublicKey, ...] = ()
    """Of JWT- and WIT-SVIDs."""
    jwt_keys: Mapping[str, JwtKey] = field(default_factory=dict[str, JwtKey])
    """Those of JWT-SVIDs, by `kid`; of the Workload API also those of kinds that our own servers do not sign with."""
    wit_keys: Mapping[str, EllipticCurvePublicKey] = field(default_factory=dict[str, EllipticCurvePublicKey])
    """Those of WIT-SVIDs, by `kid`."""
    revoked_authorities: frozenset[str] = frozenset()
    """Key identifiers, lower-case hex, of authorities whose SVIDs count no more."""


def parse_trust_bundle(text: str, trust_domain: TrustDomain) -> TrustBundle:
    """The bundle of a trust domain from an untrusted document, which does not say whose it is.

    Raises: TrustWardenError `bundle_malformed` or the JSON codes.
    """
    return parse_trust_bundle_json(parse_json_object(text, MAX_BUNDLE_CHARS), trust_domain)


def parse_bundle_map(text: str) -> dict[TrustDomain, TrustBundle]:
    """The bundles of several trust domains, each under its own name and never merged.

    Raises: TrustWardenError `bundle_malformed`, `spiffe_id_malformed` or the JSON codes.
    """
    bundles = parse_json_object(text, _MAX_MAP_CHARS).get("trust_domains")
    if not is_json_object(bundles):
        raise _malformed("trust_domains")
    if len(bundles) > MAX_BUNDLES:
        raise _malformed("too many trust domains")
    found: dict[TrustDomain, TrustBundle] = {}
    for name, document in bundles.items():
        if not is_json_object(document):
            raise _malformed("not a bundle")
        trust_domain = parse_trust_domain(name)
        found[trust_domain] = parse_trust_bundle_json(document, trust_domain)
    return found


def parse_trust_bundle_json(document: JsonObject, trust_domain: TrustDomain) -> TrustBundle:
    """As `parse_trust_bundle`, for a document that was read as strict JSON.

    Raises: TrustWardenError `bundle_malformed`.
    """
    keys = document.get("keys")
    if not is_json_list(keys):
        raise _malformed("keys")
    if len(keys) > MAX_KEYS:
        raise _malformed("too many keys")
    authorities: list[Certificate] = []
    token_keys: dict[str, EllipticCurvePublicKey] = {}
    wit_kids: set[str] = set()
    for jwk in keys:
        if not is_json_object(jwk) or not _is_usable(jwk):
            continue
        if "d" in jwk:
            raise _malformed("private key")
        if jwk["use"] == "x509-svid":
            _add_x509_authority(authorities, jwk)
        else:
            kid = _add_token_key(token_keys, jwk)
            wit_kids.update([kid] if jwk["use"] == "wit-svid" else [])
    # Read as well, so that an odd number refuses the document here as it does elsewhere.
    _parse_whole_number(document, "spiffe_refresh_hint")
    return TrustBundle(
        trust_domain=trust_domain,
        sequence=_parse_whole_number(document, "spiffe_sequence"),
        x509_authorities=tuple(authorities),
        token_keys=tuple(token_keys.values()),
        jwt_keys={kid: JwtKey(key, "ES256") for kid, key in token_keys.items() if kid not in wit_kids},
        wit_keys={kid: key for kid, key in token_keys.items() if kid in wit_kids},
        revoked_authorities=_parse_revoked(document),
    )


def digest_of_roots(roots: Iterable[Certificate]) -> str:
    """What a ticket pins: base64url SHA-256 over the X.509 authorities, sorted, behind their lengths."""
    ders = sorted(root.der for root in roots)
    return encode_base64url(sha256(b"".join(len(der).to_bytes(4, "big") + der for der in ders)))


def require_own_claims(bundle: TrustBundle, known: Iterable[TrustBundle]) -> None:
    """Refuses the bundle of a federated trust domain that claims more than its own.

    Raises: TrustWardenError `federation_bundle_refused`.
    """
    own = format_spiffe_id(bundle.trust_domain, [])
    if any(uri != own for root in bundle.x509_authorities for uri in root.extensions.uris):
        raise TrustWardenError("federation_bundle_refused", {"reason": "an authority of another trust domain"})
    keys = _keys_of(bundle)
    for other in known:
        if other.trust_domain != bundle.trust_domain and not keys.isdisjoint(_keys_of(other)):
            raise TrustWardenError("federation_bundle_refused", {"reason": "a key of another trust domain"})


def _keys_of(bundle: TrustBundle) -> set[bytes]:
    return {root.spki for root in bundle.x509_authorities} | {encode_spki(key) for key in bundle.token_keys}


def _is_usable(jwk: JsonObject) -> bool:
    """Whether a JWK is of a kind that is verified with; the others are ignored, so that new kinds may come."""
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        return False
    if "alg" in jwk and jwk["alg"] != "ES256":
        return False
    operations = jwk.get("key_ops")
    if is_json_list(operations) and "verify" not in operations:
        return False
    use = jwk.get("use")
    return use in ("jwt-svid", "wit-svid") or (use == "x509-svid" and "x5c" in jwk)


def _add_token_key(keys: dict[str, EllipticCurvePublicKey], jwk: JsonObject) -> str:
    """A `kid` names one key of the document, whichever kind of token it signs (WIT-SVID §6.1). Gives it back."""
    kid = jwk.get("kid")
    if not isinstance(kid, str) or kid == "" or len(kid) > MAX_KID_CHARS:
        raise _malformed("kid")
    if kid in keys:
        raise _malformed("repeated kid")
    keys[kid] = _parse_key(jwk)
    return kid


def _add_x509_authority(authorities: list[Certificate], jwk: JsonObject) -> None:
    x5c = jwk["x5c"]
    encoded: Json = x5c[0] if is_json_list(x5c) and x5c else None
    if not isinstance(encoded, str):
        raise _malformed("x5c")
    certificate = _parse_authority(encoded)
    if encode_spki(_parse_key(jwk)) != certificate.spki:
        raise _malformed("x5c of another key")
    if all(known.der != certificate.der for known in authorities):
        authorities.append(certificate)


def _parse_authority(encoded: str) -> Certificate:
    try:
        return parse_certificate(parse_base64(encoded))
    except TrustWardenError as cause:
        raise _malformed("certificate") from cause


def _parse_key(jwk: Mapping[str, Json]) -> EllipticCurvePublicKey:
    try:
        return parse_p256_jwk(jwk)
    except TrustWardenError as cause:
        raise _malformed("public key") from cause


def _parse_whole_number(document: JsonObject, name: str) -> int:
    """Numbers that not every reader holds exactly are refused: a sequence that is rounded no longer rises."""
    value = document.get(name, 0)
    if not is_safe_integer(value) or value < 0:
        raise _malformed("number")
    return value


def _parse_revoked(document: JsonObject) -> frozenset[str]:
    """Half a list would silently trust what was revoked, so an odd entry refuses the document."""
    value = document.get(_REVOKED_MEMBER, [])
    if not is_json_list(value) or len(value) > _MAX_REVOKED:
        raise _malformed(_REVOKED_MEMBER)
    found = [item for item in value if isinstance(item, str) and _KEY_IDENTIFIER.fullmatch(item)]
    if len(found) != len(value):
        raise _malformed(_REVOKED_MEMBER)
    return frozenset(found)


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("bundle_malformed", {"reason": reason})
