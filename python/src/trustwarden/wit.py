"""WIT-SVIDs from the server: a key is proven, a token comes back that is for exactly this key and this identity.

A token alone proves nothing of whoever shows it: each request needs a proof made with the key (WIT-SVID section 5), and
the token names no audience, so the proof has to.

See: WIT-SVID sections 2 to 6; `docs/guides/workload-api.md`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ._bytes import encode_base64url
from ._crypto import format_thumbprint, is_p256_signature, parse_p256_jwk
from ._json import Json, JsonObject, is_json_object
from ._jws import malformed_token, parse_compact_jws
from .bundle import TrustBundle
from .enrol import issue_possession
from .errors import TrustWardenError, fail
from .jwt_svid import parse_instant, parse_subject, require_kid, require_texts
from .keys import InstanceKey
from .runtime import now_seconds
from .server import ServerCall, encode_body
from .session import AgentSession
from .spiffe import SpiffeId, TrustDomain, trust_domain_of

_MAX_LIFETIME_SECONDS = 3600
_CLOCK_SKEW_SECONDS = 10
_HEADERS = {"alg", "kid", "typ"}
_REFUSED = (
    "svid_malformed",
    "svid_untrusted",
    "svid_expired",
    "svid_not_yet_valid",
    "svid_too_long_lived",
    "trust_domain_unknown",
)
"""What a token of ours is refused with."""


@dataclass(frozen=True)
class AgentWit:
    """A token, and what proves possession of its key."""

    token: str
    """Compact JWS. Never a bearer token: without a proof made by `sign` it says nothing about who shows it."""
    thumbprint: str
    """RFC 7638 thumbprint of the key, base64url."""
    expires_at: int
    """Unix seconds."""
    _key: InstanceKey = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """An ES256 proof: 64 bytes r||s; the private key cannot be read."""
        return self._key.sign(data)


def fetch_wit(session: AgentSession) -> AgentWit:
    """A token for a new key, in the instance's name. Raises `wit_disabled`, other refusals, `server_untrusted`."""
    key, server = InstanceKey(), session.server
    leaf = session.holder.current().svid.leaf
    proof: JsonObject = {
        "possession": issue_possession(server.take_nonce(), leaf.sha256, key),
        "spki": encode_base64url(key.spki),
        "identity": "instance",
    }
    answer = session.call("issue:jwt-svid", ServerCall("POST", "/v1/wit-svids", encode_body(proof)))
    token = answer.text("svid")
    try:
        expires_at = _prove_twice(token, session, key.thumbprint)
    except TrustWardenError as cause:
        if cause.code not in _REFUSED:
            raise
        # A server that is proven, and gives what nobody may believe.
        raise fail("server_untrusted", {"reason": cause.code}) from cause
    return AgentWit(token, key.thumbprint, expires_at, key)


def _prove_twice(token: str, session: AgentSession, thumbprint: str) -> int:
    """The key that signs may be newer than our bundle; then the bundle is read again, once."""
    server = session.server
    try:
        return verify_wit(
            token, session.holder.current().svid.id, thumbprint, bundles=server.bundles, now=now_seconds()
        )
    except TrustWardenError as error:
        if error.code != "svid_untrusted":
            raise
    server.refresh()
    return verify_wit(token, session.holder.current().svid.id, thumbprint, bundles=server.bundles, now=now_seconds())


def verify_wit(
    token: str, spiffe_id: str, thumbprint: str, *, bundles: Mapping[TrustDomain, TrustBundle], now: float
) -> int:
    """When a token ends that is for this id and this key, by a key of its subject's bundle; in Unix seconds, as `now`.

    Raises `svid_malformed`, `trust_domain_unknown`, `svid_untrusted`, `svid_expired`, `svid_not_yet_valid`,
    `svid_too_long_lived`, and `server_untrusted` for a token of another key or id.
    """
    jws = parse_compact_jws(token)
    header, claims = jws.header, jws.claims
    kid = header.get("kid")
    if header.get("alg") != "ES256" or header.get("typ") != "wit+jwt" or set(header) != _HEADERS:
        raise malformed_token("header")
    require_kid(kid)
    subject, confirmed = _parse_claims(claims)
    bundle = bundles.get(trust_domain_of(subject))
    if bundle is None:
        raise fail("trust_domain_unknown", {"trustDomain": trust_domain_of(subject)})
    key = bundle.wit_keys.get(str(kid))
    if key is None or not is_p256_signature(key, jws.signed, jws.signature):
        raise fail("svid_untrusted", {"reason": "no key of the bundle signed the token"})
    expires_at = _require_within(claims, now)
    if subject != spiffe_id or confirmed != thumbprint:
        raise fail("server_untrusted", {"reason": "a token of another key or id"})
    return expires_at


def _parse_claims(claims: JsonObject) -> tuple[SpiffeId, str]:
    """Subject and thumbprint of the key, where every claim has its form; nothing of it is proven."""
    # One that names an audience could pass for a bearer token somewhere (WIT-SVID section 3.8).
    if "aud" in claims or parse_instant(claims, "exp") is None:
        raise malformed_token("claims")
    parse_instant(claims, "iat")
    parse_instant(claims, "nbf")
    require_texts(claims)
    return parse_subject(claims.get("sub")), _confirmed_by(claims.get("cnf"))


def _confirmed_by(cnf: Json) -> str:
    jwk = cnf.get("jwk") if is_json_object(cnf) else None
    if not is_json_object(jwk) or jwk.get("alg") != "ES256" or "d" in jwk:
        raise malformed_token("cnf.jwk")
    try:
        return format_thumbprint(parse_p256_jwk(jwk))
    except TrustWardenError as cause:
        raise malformed_token("cnf.jwk") from cause


def _require_within(claims: JsonObject, now: float) -> int:
    expires_at, not_before = parse_instant(claims, "exp") or 0, parse_instant(claims, "nbf") or 0
    if now >= expires_at:
        raise fail("svid_expired", {"expires_at": expires_at})
    if now < not_before - _CLOCK_SKEW_SECONDS:
        raise fail("svid_not_yet_valid", {"not_before": not_before})
    if expires_at - now > _MAX_LIFETIME_SECONDS:
        raise fail("svid_too_long_lived", {"expires_at": expires_at})
    return expires_at
