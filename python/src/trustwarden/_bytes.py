"""Bytes and their text forms, strictly: one spelling for each value, so that no two texts mean the same bytes."""

from __future__ import annotations

import binascii

from .errors import TrustWardenError

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = str.maketrans("-_", "+/")


def parse_utf8(data: bytes) -> str:
    """Text of UTF-8 bytes.

    Raises: TrustWardenError `request_malformed` when the bytes are not valid UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise TrustWardenError("request_malformed", {"reason": "not utf-8"}) from cause


def encode_base64url(data: bytes) -> str:
    """Unpadded base64url (RFC 4648 section 5)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def parse_base64url(text: str) -> bytes:
    """Bytes of unpadded base64url; refuses padding, white space and non-zero spare bits.

    Raises: TrustWardenError `base64_malformed`.
    """
    try:
        data = binascii.a2b_base64(text.translate(_FROM_URL) + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as cause:
        raise TrustWardenError("base64_malformed") from cause
    # The reader passes over whatever is no base64; only the one spelling is written like this again.
    if encode_base64url(data) != text:
        raise TrustWardenError("base64_malformed")
    return data


def encode_base64(data: bytes) -> str:
    """Padded standard base64 (RFC 4648 section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def parse_base64(text: str) -> bytes:
    """Bytes of padded standard base64, one spelling only.

    Raises: TrustWardenError `base64_malformed`.
    """
    try:
        data = binascii.a2b_base64(text)
    except (binascii.Error, ValueError) as cause:
        raise TrustWardenError("base64_malformed") from cause
    # The reader passes over whatever is no base64; only the one spelling is written like this again.
    if encode_base64(data) != text:
        raise TrustWardenError("base64_malformed")
    return data


def count_units(text: str) -> int:
    """Length in UTF-16 code units: the unit of every limit in characters, the same in both SDKs."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
