"""A strict DER reader: one encoding for each value, one level at a time.

It never recurses: callers descend by a fixed schema, so ten thousand nested elements cost no more than their outermost
one. Indefinite lengths, long forms of short lengths, high tag numbers and padded integers are refused, because two
parsers that read the same bytes differently are how a forged certificate gets past one of them.

See: X.690 §8 and §10; RFC 5280 §4.1
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass

from ._json import MAX_SAFE_INTEGER
from .errors import TrustWardenError

MAX_DER_BYTES = 16_384
"""Several times our largest certificate."""
MAX_ELEMENTS = 64
"""More than any sequence in a certificate that is accepted."""
_MAX_LENGTH_BYTES = 3
_MAX_OID_BYTES = 32
_UTC_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z")
_GENERALIZED_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z")

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OID = 0x01, 0x02, 0x03, 0x04, 0x06
UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x17, 0x18, 0x30, 0x31


@dataclass(frozen=True, slots=True)
class DerElement:
    """One element: identifier byte, content, and all its bytes."""

    tag: int
    content: bytes
    raw: bytes


def parse_der(data: bytes) -> DerElement:
    """The single element that fills the bytes.

    Raises: TrustWardenError `der_malformed`, as everything here.
    """
    if len(data) > MAX_DER_BYTES:
        raise der_malformed("too long")
    element = _read_element(data, 0)
    if len(element.raw) != len(data):
        raise der_malformed("trailing bytes")
    return element


def read_first(data: bytes) -> bytes:
    """The bytes of the first of several elements. Raises as `parse_der`."""
    element = _read_element(data, 0)
    return element.raw


def parse_members(element: DerElement | None, tag: int) -> list[DerElement]:
    """The members of a constructed element of the given tag, not descending further."""
    content = parse_content(element, tag)
    members: list[DerElement] = []
    offset = 0
    while offset < len(content):
        if len(members) == MAX_ELEMENTS:
            raise der_malformed("too many elements")
        member = _read_element(content, offset)
        members.append(member)
        offset += len(member.raw)
    return members


def parse_content(element: DerElement | None, tag: int) -> bytes:
    """The content of an element that must be there and have the given tag."""
    if element is None:
        raise der_malformed("element missing")
    if element.tag != tag:
        raise der_malformed("unexpected tag")
    return element.content


def parse_positive_integer(element: DerElement | None) -> bytes:
    """The magnitude of a positive INTEGER, without the sign byte."""
    content = parse_content(element, INTEGER)
    if len(content) == 0 or content[0] >= 0x80:
        raise der_malformed("integer not positive")
    if content[0] != 0:
        return content
    if len(content) == 1:
        raise der_malformed("integer not positive")
    if content[1] < 0x80:
        raise der_malformed("integer padded")
    return content[1:]


def parse_small_integer(element: DerElement | None) -> int:
    """A small non-negative INTEGER (up to 127), as versions and path lengths are."""
    content = parse_content(element, INTEGER)
    if len(content) != 1 or content[0] >= 0x80:
        raise der_malformed("integer not small")
    return content[0]


def parse_boolean(element: DerElement | None) -> bool:
    """A BOOLEAN, written as 00 or FF."""
    content = parse_content(element, BOOLEAN)
    if content not in (b"\x00", b"\xff"):
        raise der_malformed("boolean")
    return content == b"\xff"


def parse_oid(element: DerElement | None) -> str:
    """An OBJECT IDENTIFIER in dotted form."""
    content = parse_content(element, OID)
    if not 0 < len(content) <= _MAX_OID_BYTES:
        raise der_malformed("oid length")
    arcs: list[int] = []
    arc, is_start = 0, True
    for byte in content:
        if is_start and byte == 0x80:
            raise der_malformed("oid padded")
        arc = arc * 128 + (byte & 0x7F)
        if arc > MAX_SAFE_INTEGER:
            raise der_malformed("oid arc")
        is_start = byte < 0x80
        if is_start:
            arcs.append(arc)
            arc = 0
    if not is_start:
        raise der_malformed("oid truncated")
    root = min(2, arcs[0] // 40)
    return ".".join(str(part) for part in (root, arcs[0] - root * 40, *arcs[1:]))


def parse_bit_string(element: DerElement | None) -> bytes:
    """The bytes of a BIT STRING that holds whole bytes."""
    content = parse_content(element, BIT_STRING)
    if content[:1] != b"\x00":
        raise der_malformed("bit string with spare bits")
    return content[1:]


def parse_named_bits(element: DerElement | None) -> frozenset[int]:
    """The set positions of a BIT STRING of named bits (X.690 §11.2.2: no trailing zero bits); at least one is set."""
    content = parse_content(element, BIT_STRING)
    if not 2 <= len(content) <= 3 or content[0] > 7:
        raise der_malformed("named bits")
    spare = content[0]
    # The lowest bit in use is set, and every spare bit below it is clear.
    if content[-1] & ((2 << spare) - 1) != 1 << spare:
        raise der_malformed("named bits padded")
    return frozenset(bit for bit in range((len(content) - 1) * 8) if content[1 + (bit >> 3)] & (0x80 >> (bit & 7)))


def parse_time(element: DerElement | None) -> int:
    """A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 allows it, in Unix seconds."""
    if element is None:
        raise der_malformed("element missing")
    is_utc = element.tag == UTC_TIME
    if not is_utc and element.tag != GENERALIZED_TIME:
        raise der_malformed("unexpected tag")
    parts = (_UTC_TIME if is_utc else _GENERALIZED_TIME).fullmatch(parse_printable(element.content))
    if parts is None:
        raise der_malformed("time")
    year, month, day, hour, minute, second = (int(part) for part in parts.groups())
    if is_utc:
        year += 2000 if year < 50 else 1900
    elif year < 2050:
        raise der_malformed("time type")
    if not (1 <= month <= 12 and hour < 24 and minute < 60 and second < 60):
        raise der_malformed("time does not exist")
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise der_malformed("time does not exist")
    return calendar.timegm((year, month, day, hour, minute, second))


def parse_printable(data: bytes) -> str:
    """Text of printable ASCII bytes without spaces: no NUL and no controls, which have cut names short in C parsers."""
    if any(byte < 0x21 or byte > 0x7E for byte in data):
        raise der_malformed("text not printable")
    return data.decode("ascii")


def der_malformed(reason: str) -> TrustWardenError:
    """The error of every refusal here and in the certificate parser."""
    return TrustWardenError("der_malformed", {"reason": reason})


def _read_element(data: bytes, start: int) -> DerElement:
    if start + 1 >= len(data):
        raise der_malformed("truncated")
    tag, first = data[start], data[start + 1]
    if tag & 0x1F == 0x1F:
        raise der_malformed("high tag number")
    length_bytes = 0 if first < 0x80 else first & 0x7F
    if first == 0x80 or length_bytes > _MAX_LENGTH_BYTES:
        raise der_malformed("length form")
    content_start = start + 2 + length_bytes
    length = first if length_bytes == 0 else _read_long_length(data[start + 2 : content_start], length_bytes)
    end = content_start + length
    if end > len(data):
        raise der_malformed("truncated")
    return DerElement(tag, data[content_start:end], data[start:end])


def _read_long_length(data: bytes, count: int) -> int:
    if len(data) != count:
        raise der_malformed("truncated")
    length = int.from_bytes(data, "big")
    if length < (0x80 if count == 1 else 256 ** (count - 1)):
        raise der_malformed("length not minimal")
    return length
