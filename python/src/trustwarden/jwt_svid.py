"""JWT-SVIDs, as a workload gets them: proven before anybody sees them. Our own guard takes none as an identity.

Every token has one accepted spelling of each part before any of it is believed.

See: JWT-SVID sections 2 to 5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._bytes import count_units
from ._json import Json, JsonObject, is_json_list, is_safe_integer
from ._jws import malformed_token, parse_compact_jws
from .bundle import MAX_KID_CHARS, TrustBundle
from .errors import TrustWardenError, fail
from .jwt_signature import is_jwt_algorithm, is_jwt_signature
from .spiffe import SpiffeId, TrustDomain, parse_spiffe_id, path_of, trust_domain_of

_MAX_AUDIENCES = 16
_CLOCK_SKEW_SECONDS = 10
"""How far the issuer's clock may be ahead of ours; `exp` has no leeway."""
_MAX_LIFETIME_SECONDS = 3600
"""Longer-lived tokens are refused even when correctly signed: a stolen one must die soon."""
_HEADERS = {"alg", "kid", "typ"}
"""Keeps out jwk, jku, x5c, crit and b64 (JWT-SVID section 2)."""
_TYPES = (None, "JWT", "JOSE")


@dataclass(frozen=True)
class JwtSvid:
    """A proven token."""

    id: SpiffeId
    audience: tuple[str, ...]
    expires_at: int
    """Unix seconds."""


def verify_jwt_svid(
    token: str, *, audience: Sequence[str], bundles: Mapping[TrustDomain, TrustBundle], now: float
) -> JwtSvid:
    """Proves a token for all of some audiences against the bundle of its subject's trust domain.

    Raises: TrustWardenError `svid_malformed`, `trust_domain_unknown`, `svid_untrusted`, `svid_audience`,
    `svid_expired`, `svid_not_yet_valid`, `svid_too_long_lived`.
    """
    jws = parse_compact_jws(token)
    _require_header(jws.header)
    claims = jws.claims
    spiffe_id = parse_subject(claims.get("sub"))
    named = _parse_audience(claims.get("aud"))
    expires_at = parse_instant(claims, "exp")
    if expires_at is None:
        raise malformed_token("exp")
    starts = [parse_instant(claims, "nbf"), parse_instant(claims, "iat")]
    require_texts(claims)
    bundle = bundles.get(trust_domain_of(spiffe_id))
    if bundle is None or bundle.trust_domain != trust_domain_of(spiffe_id):
        raise fail("trust_domain_unknown", {"trustDomain": trust_domain_of(spiffe_id)})
    kid = jws.header.get("kid")
    keys = [*bundle.jwt_keys.values()] if kid is None else [bundle.jwt_keys.get(str(kid))]
    algorithm = str(jws.header["alg"])
    # The standard lets a token go without a kid; then each key of the bundle may be the one.
    if not any(key is not None and is_jwt_signature(key, algorithm, jws.signed, jws.signature) for key in keys):
        raise fail("svid_untrusted", {"reason": "no key of the bundle signed the token"})
    if not all(one in named for one in audience):
        raise fail("svid_audience")
    _require_within(expires_at, starts, now)
    return JwtSvid(spiffe_id, named, expires_at)


def _require_header(header: JsonObject) -> None:
    # Of the nine that sign; how a key is used is the key's own to say, never the token's.
    if not is_jwt_algorithm(header.get("alg")) or not _HEADERS.issuperset(header):
        raise malformed_token("header")
    if header.get("typ") not in _TYPES:
        raise malformed_token("header")
    if "kid" in header:
        require_kid(header["kid"])
    if "typ" in header and header["typ"] is None:
        raise malformed_token("header")


def require_kid(kid: Json) -> None:
    """Refuses what names no key. Raises `svid_malformed`."""
    if not isinstance(kid, str) or kid == "" or count_units(kid) > MAX_KID_CHARS:
        raise malformed_token("kid")


def require_texts(claims: JsonObject) -> None:
    """Refuses an issuer or an id that is no text, where there is one. Raises `svid_malformed`."""
    if any(name in claims and not isinstance(claims[name], str) for name in ("iss", "jti")):
        raise malformed_token("text")


def parse_subject(sub: Json) -> SpiffeId:
    """`sub` of a JWT-SVID or WIT-SVID. Raises `svid_malformed`."""
    if not isinstance(sub, str):
        raise malformed_token("sub")
    try:
        spiffe_id = parse_spiffe_id(sub)
    except TrustWardenError as cause:
        raise malformed_token("sub") from cause
    if path_of(spiffe_id) == "":
        raise malformed_token("sub without a path")
    return spiffe_id


def _parse_audience(aud: Json) -> tuple[str, ...]:
    """RFC 7519 allows one text or a list of them."""
    listed: Sequence[Json] = aud if is_json_list(aud) else [aud]
    named = tuple(one for one in listed if isinstance(one, str) and one != "")
    if not 0 < len(named) <= _MAX_AUDIENCES or len(named) != len(listed):
        raise malformed_token("aud")
    return named


def parse_instant(claims: JsonObject, name: str) -> int | None:
    """Whole seconds only: 1e400 is infinite and a text is not a time. Raises `svid_malformed`."""
    value = claims.get(name)
    if name not in claims:
        return None
    if not is_safe_integer(value) or value < 0:
        raise malformed_token("time")
    return value


def _require_within(expires_at: int, starts: Sequence[int | None], now: float) -> None:
    if now >= expires_at:
        raise fail("svid_expired", {"expires_at": expires_at})
    known = [start for start in starts if start is not None]
    if known and now < max(known) - _CLOCK_SKEW_SECONDS:
        raise fail("svid_not_yet_valid", {"starts_at": max(known)})
    issued_at = starts[1]
    if expires_at - (now if issued_at is None else issued_at) > _MAX_LIFETIME_SECONDS:
        raise fail("svid_too_long_lived", {"expires_at": expires_at})
