"""What stands in the ledger before a decision when the agent signed no intent of ours: the proof that it presented.

The proof is DPoP for an access token, or a workload proof token for a WIT-SVID, whose key is then recorded beside it.
It is proven again from the record alone: signed by the key, made at this time, used once, for a token of this agent.

See: docs/decisions/0019 and 0027; RFC 9449 §4; draft-ietf-wimse-wpt-02 §2
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from .._bytes import count_units, parse_base64url, parse_utf8
from .._codes import ErrorCode
from .._crypto import format_thumbprint, is_p256_signature, parse_p256_jwk
from .._fields import Fields, parse_time_ms
from .._json import Json, JsonObject, is_json_object, is_safe_integer, parse_json_object
from ..errors import TrustWardenError
from ..records import ControlRecord, DecisionRecord, IntentAgent

_MAX_APART_SECONDS = 90
_MAX_WPT_SECONDS = 60
_MAX_JWS_CHARS = 8192
_MAX_OTHERS = 8
_JWK_MEMBERS = {"kty", "crv", "x", "y", "alg", "use", "key_ops", "ext", "kid"}
_JTI = re.compile(r"[\x21-\x7e]{8,128}")
_URL = re.compile(r"[\x21-\x7e]{1,2048}")
_METHOD = re.compile(r"[A-Z]{1,16}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,256}")
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{86}")


@dataclass(frozen=True, slots=True)
class PresentedIntent:
    """What an agent presented, as the gateway verified it, under the server's signature."""

    event_id: str
    agent: IntentAgent
    """Without an SVID: `svid_sha256` is empty."""
    action: str
    resource: str
    aud: str
    token_jti: str
    token_jkt: str
    wit_key: JsonObject | None
    """The key of a WIT-SVID as a JWK; None for an access token."""
    proof: str
    is_signed: bool
    """Whether an HTTP message signature by the same key came with it."""
    time: str


def parse_presented_intent(json: JsonObject) -> PresentedIntent:
    """A presented intent from its payload.

    Raises: TrustWardenError `record_malformed`.
    """
    fields = Fields(json, "record_malformed")
    agent, token = fields.object("agent"), fields.object("token")
    fields.version()
    intent = PresentedIntent(
        event_id=fields.event_id(),
        agent=IntentAgent(agent.text("id"), agent.text("spiffe_id"), ""),
        action=fields.text("action"),
        resource=fields.text("resource"),
        aud=fields.text("aud"),
        token_jti=token.text("jti"),
        token_jkt=token.digest("jkt"),
        wit_key=_parse_wit_key(fields) if fields.has("wit_key") else None,
        proof=fields.text("proof", 8192),
        is_signed=_parse_signature(fields),
        time=fields.time("time"),
    )
    for part in (agent, token, fields):
        part.end()
    return intent


class PresentedAuditor:
    """Owns the tokens and the proofs seen; lives for one audit."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[bool, Json, Json, Json]] = {}
        self._revoked_at: dict[str, float] = {}
        self._proofs: set[str] = set()

    def learn(self, control: ControlRecord) -> None:
        """Learns from the events of tokens."""
        details = control.details
        jti = details.get("jti")
        if not control.allow or not isinstance(jti, str):
            return
        if control.kind == "wit":
            thumbprint, expires_at = details.get("confirmation_thumbprint"), details.get("expires_at")
            self._tokens[jti] = (True, control.subject, thumbprint, expires_at)
        if control.kind != "token":
            return
        if details.get("change") == "revoke":
            self._revoked_at[jti] = _seconds(control.time)
        cnf = details.get("cnf")
        if details.get("change") == "issue" and is_json_object(cnf):
            self._tokens[jti] = (False, details.get("client_id"), cnf.get("jkt"), details.get("expires_at"))

    def find_fault(self, intent: PresentedIntent) -> str | None:
        """What is wrong with a presented intent, in words; None when nothing is.

        Raises: TrustWardenError `dpop_invalid` or `wpt_invalid` when the proof itself does not hold.
        """
        proof = require_possession(intent)
        if proof in self._proofs:
            return "its proof was used before"
        self._proofs.add(proof)
        token = self._tokens.get(intent.token_jti)
        if token is None:
            return "its token was never issued"
        is_wit, client_id, jkt, expires_at = token
        at = _seconds(intent.time)
        if is_wit != (intent.wit_key is not None):
            return "its proof is for another kind of token"
        if client_id != intent.agent.spiffe_id:
            return "its token was issued to another"
        if jkt != intent.token_jkt:
            return "its token is bound to another key"
        if not isinstance(expires_at, (int, float)) or isinstance(expires_at, bool) or at >= expires_at:
            return "its token had expired"
        revoked_at = self._revoked_at.get(intent.token_jti)
        return "its token was revoked" if revoked_at is not None and at > revoked_at + 1 else None

    def is_unsigned(self, intent: PresentedIntent, decision: DecisionRecord) -> bool:
        """Whether a decision allowed what nobody had signed the body of."""
        needs = intent.wit_key is not None or decision.action_class != "C"
        return decision.allow and needs and not intent.is_signed


def require_possession(intent: PresentedIntent) -> str:
    """Proves again, from the record alone, that the holder of the token's key asked; gives the proof's own name.

    Raises: TrustWardenError `dpop_invalid` or `wpt_invalid`.
    """
    if intent.wit_key is not None:
        return _require_wit_possession(intent, parse_p256_jwk(intent.wit_key))
    header, claims, check = _parse_jws(intent.proof, "dpop+jwt", {"jwk"}, "dpop_invalid")
    jwk = header.get("jwk")
    if not is_json_object(jwk) or not set(jwk) <= _JWK_MEMBERS:
        raise _refused("dpop_invalid", "jwk")
    try:
        key = parse_p256_jwk(jwk)
    except TrustWardenError as cause:
        raise _refused("dpop_invalid", "jwk") from cause
    if not is_p256_signature(key, *check):
        raise _refused("dpop_invalid", "signature")
    jti = _text(claims, "jti", _JTI, "dpop_invalid")
    _text(claims, "htm", _METHOD, "dpop_invalid")
    _text(claims, "htu", _URL, "dpop_invalid")
    issued_at = _instant(claims, "iat", "dpop_invalid")
    if "nonce" in claims:
        _text(claims, "nonce", _NONCE, "dpop_invalid")
    if "ath" in claims:
        _text(claims, "ath", _DIGEST, "dpop_invalid")
    thumbprint = format_thumbprint(key)
    if thumbprint != intent.token_jkt:
        raise _refused("dpop_invalid", "another key")
    if "ath" not in claims:
        raise _refused("dpop_invalid", "no token")
    if not abs(_seconds(intent.time) - issued_at) <= _MAX_APART_SECONDS:
        raise _refused("dpop_invalid", "another time")
    return f"{thumbprint} {jti}"


def _require_wit_possession(intent: PresentedIntent, key: EllipticCurvePublicKey) -> str:
    """The proof names the WIT-SVID by a digest, which only who has the token can compare; its key is the record's."""
    _, claims, check = _parse_jws(intent.proof, "wpt+jwt", set(), "wpt_invalid")
    if not is_p256_signature(key, *check):
        raise _refused("wpt_invalid", "signature")
    jti = _text(claims, "jti", _JTI, "wpt_invalid")
    _text(claims, "aud", _URL, "wpt_invalid")
    expires_at = _instant(claims, "exp", "wpt_invalid")
    _text(claims, "wth", _DIGEST, "wpt_invalid")
    if "tth" in claims:
        _text(claims, "tth", _DIGEST, "wpt_invalid")
    if "oth" in claims:
        others = claims["oth"]
        if not is_json_object(others) or len(others) > _MAX_OTHERS:
            raise _refused("wpt_invalid", "oth")
        for name in others:
            _text(others, name, _DIGEST, "wpt_invalid")
    if format_thumbprint(key) != intent.token_jkt:
        raise _refused("wpt_invalid", "another key")
    left = expires_at - _seconds(intent.time)
    if not _MAX_WPT_SECONDS - _MAX_APART_SECONDS <= left <= _MAX_APART_SECONDS:
        raise _refused("wpt_invalid", "another time")
    return f"{intent.token_jkt} {jti}"


def _parse_jws(
    text: str, typ: str, headers: set[str], code: ErrorCode
) -> tuple[JsonObject, JsonObject, tuple[bytes, bytes]]:
    """Header, payload, and signed bytes with their signature, of an ES256 token of one kind; nothing is proven."""
    parts = text.split(".") if count_units(text) <= _MAX_JWS_CHARS else []
    if len(parts) != 3 or not all(parts):
        raise _refused(code, "not a compact JWS")
    try:
        header = parse_json_object(parse_utf8(parse_base64url(parts[0])))
        if header.get("alg") != "ES256" or header.get("typ") != typ or set(header) != {"alg", "typ"} | headers:
            raise _refused(code, "header")
        payload = parse_json_object(parse_utf8(parse_base64url(parts[1])))
        signature = parse_base64url(parts[2])
    except TrustWardenError as cause:
        # What is a bad request elsewhere is a bad credential here.
        raise _refused(code, cause.code) from cause
    return header, payload, (f"{parts[0]}.{parts[1]}".encode(), signature)


def _parse_wit_key(fields: Fields) -> JsonObject:
    key = fields.object("wit_key")
    parsed: JsonObject = {
        "kty": key.one_of("kty", ("EC",)),
        "crv": key.one_of("crv", ("P-256",)),
        "x": key.digest("x"),
        "y": key.digest("y"),
    }
    key.end()
    return parsed


def _parse_signature(fields: Fields) -> bool:
    if fields.is_null("signature"):
        fields.null("signature")
        return False
    signature = fields.object("signature")
    signature.digest("base_sha256")
    signature.matching("value", _SIGNATURE)
    signature.end()
    return True


def _text(claims: JsonObject, name: str, pattern: re.Pattern[str], code: ErrorCode) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _refused(code, name)
    return value


def _instant(claims: JsonObject, name: str, code: ErrorCode) -> int:
    value = claims.get(name)
    if not is_safe_integer(value) or value < 0:
        raise _refused(code, name)
    return value


def _seconds(time: str) -> float:
    return (parse_time_ms(time) or 0) / 1000


def _refused(code: ErrorCode, reason: str) -> TrustWardenError:
    return TrustWardenError(code, {"reason": reason})
