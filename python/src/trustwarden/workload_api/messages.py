"""The Workload API's messages as bytes: the little of protobuf that they need, read strictly.

Texts are UTF-8 or refused, lengths stay inside the message, unknown fields are ignored, a map has a key once.

See: SPIFFE_Workload_API.md sections 5 and 6; https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import TrustWardenError, fail

_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
"""What other wire types take: they are skipped."""
_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 4096
"""Answers hold a handful of SVIDs and bundles; more is not honest."""

_Fields: TypeAlias = Mapping[int, Sequence[bytes]]


@dataclass(frozen=True)
class UnverifiedX509Svid:
    """An X.509-SVID as it came; nothing of it is proven."""

    spiffe_id: str
    chain: bytes
    """Concatenated DER."""
    key_pkcs8: bytes = field(repr=False)
    bundle: bytes
    """Concatenated DER."""
    hint: str


@dataclass(frozen=True)
class UnverifiedX509State:
    """Everything of one answer."""

    svids: tuple[UnverifiedX509Svid, ...]
    federated_bundles: Mapping[str, bytes]
    """DER by the SPIFFE ID of the trust domain."""


@dataclass(frozen=True)
class UnverifiedToken:
    """A JWT- or WIT-SVID as it came."""

    spiffe_id: str
    svid: str = field(repr=False)
    hint: str
    key_jwk: str = field(repr=False, default="")
    """Private JWK of a WIT-SVID, as text."""


def encode_wit_svid_request(spiffe_id: str) -> bytes:
    """The request for WIT-SVIDs: of one identity, or of all for the empty text."""
    return b"" if spiffe_id == "" else _encode_text(1, spiffe_id)


def encode_jwt_svid_request(audience: Sequence[str], spiffe_id: str) -> bytes:
    """The request for JWT-SVIDs."""
    named = b"" if spiffe_id == "" else _encode_text(2, spiffe_id)
    return b"".join(_encode_text(1, one) for one in audience) + named


def encode_validate_request(audience: str, svid: str) -> bytes:
    """The request to validate a JWT-SVID."""
    return _encode_text(1, audience) + _encode_text(2, svid)


def parse_x509_response(message: bytes) -> UnverifiedX509State:
    """Raises `workload_answer_refused`; so do all below."""
    fields = _parse_fields(message)
    found: list[UnverifiedX509Svid] = []
    for each in fields.get(1, ()):
        svid = _parse_fields(each)
        found.append(
            UnverifiedX509Svid(
                spiffe_id=_text(svid, 1),
                chain=_last(svid, 2),
                key_pkcs8=_last(svid, 3),
                bundle=_last(svid, 4),
                hint=_text(svid, 5),
            )
        )
    return UnverifiedX509State(tuple(found), _map(fields, 3))


def parse_x509_bundles_response(message: bytes) -> Mapping[str, bytes]:
    """DER by trust domain ID."""
    return _map(_parse_fields(message), 2)


def parse_key_sets_response(message: bytes) -> Mapping[str, bytes]:
    """JWK Sets of JWT- or WIT-SVIDs by trust domain ID, as the bytes of a text."""
    return _map(_parse_fields(message), 1)


def parse_jwt_svid_response(message: bytes) -> tuple[UnverifiedToken, ...]:
    """JWT-SVIDs."""
    svids = map(_parse_fields, _parse_fields(message).get(1, ()))
    return tuple(UnverifiedToken(_text(svid, 1), _text(svid, 2), _text(svid, 3)) for svid in svids)


def parse_wit_svid_response(message: bytes) -> tuple[UnverifiedToken, ...]:
    """WIT-SVIDs with their keys."""
    svids = map(_parse_fields, _parse_fields(message).get(1, ()))
    return tuple(UnverifiedToken(_text(svid, 1), _text(svid, 2), _text(svid, 4), _text(svid, 3)) for svid in svids)


def parse_validate_response(message: bytes) -> str:
    """The id alone; the claims are read from the token, which they only repeat."""
    return _text(_parse_fields(message), 1)


def decode_text(data: bytes) -> str:
    """UTF-8 bytes as text."""
    try:
        return data.decode()
    except UnicodeDecodeError as cause:
        raise refused("not UTF-8") from cause


def refused(reason: str) -> TrustWardenError:
    """An answer that nobody may believe."""
    return fail("workload_answer_refused", {"reason": reason})


def _parse_fields(message: bytes) -> _Fields:
    found: dict[int, list[bytes]] = {}
    offset = count = 0
    while offset < len(message):
        if count == _MAX_FIELDS:
            raise refused("too many fields")
        count += 1
        tag, offset = _read_varint(message, offset)
        number, kind = divmod(tag, 8)
        if number == 0 or (kind not in (_VARINT, _LENGTH_DELIMITED) and kind not in _FIXED_BYTES):
            raise refused("wire type")
        if kind == _VARINT:
            _, offset = _read_varint(message, offset)
            continue
        length, offset = (_FIXED_BYTES[kind], offset) if kind in _FIXED_BYTES else _read_varint(message, offset)
        value = message[offset : offset + length]
        if len(value) < length:
            raise refused("a field is cut off")
        offset += length
        if kind == _LENGTH_DELIMITED:
            found.setdefault(number, []).append(value)
    return found


def _read_varint(message: bytes, offset: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for index, byte in enumerate(message[offset : offset + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, offset + index + 1
    raise refused("a number without an end")


def _last(fields: _Fields, number: int) -> bytes:
    """The last one counts, as protobuf has it."""
    values = fields.get(number)
    return values[-1] if values else b""


def _text(fields: _Fields, number: int) -> str:
    return decode_text(_last(fields, number))


def _map(fields: _Fields, number: int) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    for each in fields.get(number, ()):
        entry = _parse_fields(each)
        key = _text(entry, 1)
        # Two bundles of one trust domain: each reader would believe another.
        if key in found:
            raise refused("a key comes twice")
        found[key] = _last(entry, 2)
    return found


def _encode_text(number: int, value: str) -> bytes:
    data = value.encode()
    return bytes([number << 3 | _LENGTH_DELIMITED]) + _encode_length(len(data)) + data


def _encode_length(length: int) -> bytes:
    parts: list[int] = []
    while length >= 0x80:
        parts.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*parts, length])
