"""Tokens in JWS compact serialization, taken apart and not believed yet.

See: RFC 7515 section 7.1
"""

from __future__ import annotations

from dataclasses import dataclass

from ._bytes import parse_base64url, parse_utf8
from ._json import JsonObject, parse_json_object
from .errors import TrustWardenError, fail

_MAX_TOKEN_CHARS = 8192
"""Fits every HTTP header and leaves no room for a bomb."""


@dataclass(frozen=True)
class CompactJws:
    """The parts of a token, each in its one spelling."""

    header: JsonObject
    claims: JsonObject
    signed: bytes
    signature: bytes


def parse_compact_jws(token: str) -> CompactJws:
    """Raises `svid_malformed`."""
    parts = token.split(".")
    if len(token) > _MAX_TOKEN_CHARS or len(parts) != 3 or not all(parts):
        raise malformed_token("not a compact JWS")
    try:
        header, claims = (parse_json_object(parse_utf8(parse_base64url(part))) for part in parts[:2])
        signature = parse_base64url(parts[2])
    except TrustWardenError as cause:
        raise malformed_token("part") from cause
    return CompactJws(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def malformed_token(reason: str) -> TrustWardenError:
    """Of a token that breaks a rule of its format."""
    return fail("svid_malformed", {"reason": reason})
