"""WIT-SVIDs from the server: a key is proven, a token comes back that is for exactly this key and this identity.

A token alone proves nothing of whoever shows it: each request needs a proof made with the key (WIT-SVID section 5), and
the token names no audience, so the proof has to.

See: WIT-SVID sections 2 to 6; `docs/guides/workload-api.md`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ._bytes import encode_base64url
from ._crypto import format_thumbprint, is_p256_signature, parse_p256_jwk
from ._json import Json, JsonObject, is_json_object, is_safe_integer
from ._jws import malformed_token, parse_compact_jws
from .enrol import issue_possession
from .errors import TrustWardenError, fail
from .keys import InstanceKey
from .runtime import now_seconds
from .server import ServerCall, encode_body
from .session import AgentSession

_MAX_LIFETIME_SECONDS = 3600
_CLOCK_SKEW_SECONDS = 10
_HEADERS = {"alg", "kid", "typ"}


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
        expires_at = verify_wit(token, session.holder.current().svid.id, key.thumbprint, server.bundle.wit_keys)
    except TrustWardenError as error:
        if error.code != "svid_untrusted":
            raise fail("server_untrusted", {"reason": error.code}) from error
        # The key that signs may be newer than our bundle; then the bundle is read again, once.
        server.refresh()
        expires_at = verify_wit(token, session.holder.current().svid.id, key.thumbprint, server.bundle.wit_keys)
    return AgentWit(token, key.thumbprint, expires_at, key)


def verify_wit(token: str, spiffe_id: str, thumbprint: str, keys: Mapping[str, EllipticCurvePublicKey]) -> int:
    """When a token ends that is for this id and this key, by a key of the bundle.

    Raises `svid_malformed`, `svid_untrusted`, `svid_expired`, `svid_not_yet_valid`, `svid_too_long_lived`.
    """
    jws = parse_compact_jws(token)
    header, claims = jws.header, jws.claims
    kid = header.get("kid")
    if header.get("alg") != "ES256" or header.get("typ") != "wit+jwt" or set(header) != _HEADERS:
        raise malformed_token("header")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None or not is_p256_signature(key, jws.signed, jws.signature):
        raise fail("svid_untrusted", {"reason": "no key of the bundle signed the token"})
    if claims.get("sub") != spiffe_id or _confirmed_by(claims.get("cnf")) != thumbprint:
        raise fail("server_untrusted", {"reason": "a token of another key or id"})
    return _require_within(claims)


def _confirmed_by(cnf: Json) -> str:
    jwk = cnf.get("jwk") if is_json_object(cnf) else None
    if not is_json_object(jwk) or jwk.get("alg") != "ES256" or "d" in jwk:
        raise malformed_token("cnf.jwk")
    return format_thumbprint(parse_p256_jwk(jwk))


def _require_within(claims: JsonObject) -> int:
    expires_at, not_before, now = claims.get("exp"), claims.get("nbf", 0), now_seconds()
    # One that names an audience could pass for a bearer token somewhere (WIT-SVID section 3.8).
    if not is_safe_integer(expires_at) or not is_safe_integer(not_before) or "aud" in claims:
        raise malformed_token("claims")
    if now >= expires_at:
        raise fail("svid_expired", {"expires_at": expires_at})
    if now < not_before - _CLOCK_SKEW_SECONDS:
        raise fail("svid_not_yet_valid", {"not_before": not_before})
    if expires_at - now > _MAX_LIFETIME_SECONDS:
        raise fail("svid_too_long_lived", {"expires_at": expires_at})
    return expires_at
