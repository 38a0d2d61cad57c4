"""JSON at a trust boundary: parse once, strictly, with limits; write canonically (RFC 8785).

Python's reader silently keeps the last of two equal keys, takes `NaN`, and holds numbers that a reader in another
language rounds. `parse_json` refuses duplicates, depth and size before anything looks at the value, and reads every
number as the double that everybody else reads.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import TypeAlias, TypeGuard, cast

from ._bytes import count_units
from .errors import TrustWardenError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""Any JSON value."""
JsonObject: TypeAlias = "Mapping[str, Json]"
"""A JSON object."""

MAX_DEPTH = 32
"""Deeper documents than any of our formats."""
DEFAULT_MAX_CHARS = 1_048_576
"""Larger than any body that is accepted anywhere."""
MAX_SAFE_INTEGER = 2**53 - 1
"""Above this a double no longer holds every integer."""

_PLAIN_DIGITS = 17
"""With a sign; longer texts of integers are beyond `MAX_SAFE_INTEGER` or odd."""

_MARK = re.compile(r'["{}\[\]]')
_COLON = re.compile(r"[ \t\r\n]*:")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Digits of a double in scientific notation, as Python's shortest round trip gives them.
_SHORTEST = re.compile(r"^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$")


def parse_json(text: str, max_chars: int = DEFAULT_MAX_CHARS) -> Json:
    """A JSON value from untrusted text.

    Raises: TrustWardenError `request_too_large`, `json_malformed`, `json_duplicate_key` or `json_too_deep`.
    """
    if count_units(text) > max_chars:
        raise TrustWardenError("request_too_large", {"chars": len(text), "maxChars": max_chars})
    # Half a surrogate pair is in no text that was bytes, but may be in an escape.
    if "\\u" not in text and _SURROGATE.search(text) is None:
        plain = _parse_plain(text)
        if plain is not None:
            return plain
    try:
        value = cast("Json", _READER.decode(text))
    except (ValueError, RecursionError) as cause:
        # What is wrong with it is looked for once it is known that something is.
        _require_unique_keys_and_depth(text)
        raise TrustWardenError("json_malformed") from cause
    _require_writable(value, 1)
    return value


def parse_json_object(text: str, max_chars: int = DEFAULT_MAX_CHARS) -> JsonObject:
    """A JSON object from untrusted text.

    Raises: TrustWardenError as `parse_json`, and `json_malformed` for any other value.
    """
    value = parse_json(text, max_chars)
    if not is_json_object(value):
        raise TrustWardenError("json_malformed", {"reason": "not an object"})
    return value


def parse_canonical_object(text: str, max_chars: int = DEFAULT_MAX_CHARS) -> JsonObject | None:
    """A JSON object from untrusted text that is its canonical form; None when it is another spelling of one.

    Raises: TrustWardenError as `parse_json_object`.
    """
    if text.isascii() and len(text) <= max_chars:
        plain = _parse_plain(text)
        # What reads as it is written has one spelling; an escape or a space that need not be there would differ.
        if plain is not None and _PLAIN_WRITER.encode(plain) == text:
            return plain
    value = parse_json_object(text, max_chars)
    return value if format_canonical_json(value) == text else None


def require_json_object(value: object) -> JsonObject:
    """A JSON object that a caller of this process hands in.

    Raises: TrustWardenError `json_malformed` for what has no canonical form, `json_too_deep`.
    """
    _require_json(value, 1)
    if not is_json_object(value):
        raise TrustWardenError("json_malformed", {"reason": "not an object"})
    return value


def is_json_object(value: object) -> TypeGuard[JsonObject]:
    """Whether a JSON value is an object."""
    # The abstract class alone would be asked in Python, for what is a `dict` nearly always.
    return isinstance(value, (dict, Mapping))


def is_json_list(value: object) -> TypeGuard[Sequence[Json]]:
    """Whether a JSON value is a list; text is none."""
    return isinstance(value, (list, tuple))


def is_safe_integer(value: object) -> TypeGuard[int]:
    """Whether a JSON value is an integer that every reader holds exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE_INTEGER


def format_canonical_json(value: Json) -> str:
    """The RFC 8785 (JCS) text of a value; equal values give equal bytes in every language."""
    if _is_plain(value):
        return _PLAIN_WRITER.encode(value)
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def encode_canonical_json(value: Json) -> bytes:
    """UTF-8 bytes of `format_canonical_json`."""
    return format_canonical_json(value).encode("utf-8")


def _is_plain(value: object) -> bool:
    """Whether the C parts of `json` write a value as RFC 8785 has it: no fractions, and keys of ASCII."""
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return True
    if kind is int:
        return is_safe_integer(value)
    if kind is dict:
        for key, member in cast("dict[object, object]", value).items():
            if type(key) is not str or not key.isascii():
                return False
            # Most members are texts; a call for each of them would cost as much as writing it.
            if type(member) is not str and not _is_plain(member):
                return False
        return True
    return kind is list and all(map(_is_plain, cast("list[object]", value)))


def _write(value: Json, parts: list[str]) -> None:
    if value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, (int, float)):
        parts.append(_format_number(value))
    elif isinstance(value, str):
        parts.append(encode_basestring(value))
    elif is_json_object(value):
        _write_members(value, parts)
    else:
        parts.append("[")
        for index, item in enumerate(cast("Sequence[Json]", value)):
            parts.append("," if index else "")
            _write(item, parts)
        parts.append("]")


def _write_members(value: JsonObject, parts: list[str]) -> None:
    parts.append("{")
    # The order of RFC 8785 section 3.2.3: by UTF-16 code units, which is not the order of code points.
    for index, key in enumerate(sorted(value, key=_order_of(value))):
        parts.append("," if index else "")
        parts.append(encode_basestring(key))
        parts.append(":")
        _write(value[key], parts)
    parts.append("}")


def _order_of(value: JsonObject) -> Callable[[str], bytes] | None:
    return None if all(map(str.isascii, value)) else _utf16


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _format_number(value: float) -> str:
    """ECMAScript's text of a double (RFC 8785 section 3.2.2.3)."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a JSON value always has a canonical form")
    if number == 0:
        return "0"
    if number.is_integer() and abs(number) < 1e21:
        return str(int(number)) if abs(number) <= MAX_SAFE_INTEGER else _format_digits(number)
    return _format_digits(number)


def _format_digits(number: float) -> str:
    # `repr` gives the shortest digits that read back as this double, which are the ones that ECMAScript gives.
    found = _SHORTEST.match(_scientific(repr(number)))
    if found is None:
        raise ValueError("a double has digits")
    sign, first, rest, exponent = found.groups()
    digits = (first + (rest or "")).rstrip("0")
    point = int(exponent) + 1
    if 0 < point <= 21:
        whole = digits[:point].ljust(point, "0")
        return sign + whole + (f".{digits[point:]}" if len(digits) > point else "")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{'+' if power > 0 else '-'}{abs(power)}"


def _scientific(text: str) -> str:
    """The same digits as `d.ddde±x`."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, power = text.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    lead = len(digits) - len(digits.lstrip("0"))
    exponent = len(whole) - 1 - lead + int(power or "0")
    digits = digits.lstrip("0")
    return f"{sign}{digits[0]}.{digits[1:] or '0'}e{exponent:+d}"


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER else value


def _plain_integer(text: str) -> int:
    value = int(text) if len(text) <= _PLAIN_DIGITS else MAX_SAFE_INTEGER + 1
    if abs(value) > MAX_SAFE_INTEGER:
        raise ValueError("not plain")
    return value


def _parse_plain(text: str) -> JsonObject | None:
    """The object in a text as nearly all of ours are: no fractions, too few brackets to be too deep.

    None says nothing about the text: the careful reader looks at it then. Surrogates are not looked for here.
    """
    if text.count("{") + text.count("[") > MAX_DEPTH:
        return None
    try:
        value: object = _PLAIN_READER.decode(text)
    except (ValueError, RecursionError):
        # Safe to go on: whatever this reader stumbles over, the careful one names or takes.
        return None
    return cast("JsonObject", value) if isinstance(value, dict) else None


def _require_json(value: object, depth: int) -> None:
    if isinstance(value, Mapping):
        _require_shallow(depth)
        for key, member in cast("Mapping[object, object]", value).items():
            if not isinstance(key, str):
                raise TrustWardenError("json_malformed", {"reason": "a key is no text"})
            _require_writable(key, depth)
            _require_json(member, depth + 1)
    elif isinstance(value, (list, tuple)):
        _require_shallow(depth)
        for item in cast("Sequence[object]", value):
            _require_json(item, depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool) and not is_safe_integer(value):
        raise TrustWardenError("json_malformed", {"reason": "number too large"})
    elif value is None or isinstance(value, (bool, int, float, str)):
        _require_writable(value, depth)
    else:
        raise TrustWardenError("json_malformed", {"reason": f"{type(value).__name__} is no JSON"})


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is repeated")
    return members


def _refuse_constant(text: str) -> float:
    raise ValueError(text)


_READER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_number, parse_float=_number, parse_constant=_refuse_constant
)

_PLAIN_READER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_plain_integer,
    parse_float=_refuse_constant,
    parse_constant=_refuse_constant,
)
# Canonical for what `_is_plain` knows, and what `_parse_plain` gives of ASCII: keys of ASCII are in the same order by
# code points and by code units.
_PLAIN_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False)


def _require_writable(value: Json, depth: int) -> None:
    """Refuses what has no canonical form: a number that reads as infinite, half a surrogate pair (RFC 7493)."""
    if isinstance(value, float) and not math.isfinite(value):
        raise TrustWardenError("json_malformed", {"reason": "number too large"})
    if isinstance(value, str) and _SURROGATE.search(value):
        raise TrustWardenError("json_malformed", {"reason": "lone surrogate"})
    if is_json_object(value):
        _require_shallow(depth)
        for key, member in value.items():
            _require_writable(key, depth)
            _require_writable(member, depth + 1)
    elif is_json_list(value):
        _require_shallow(depth)
        for item in value:
            _require_writable(item, depth + 1)


def _require_shallow(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TrustWardenError("json_too_deep", {"maxDepth": MAX_DEPTH})


def _require_unique_keys_and_depth(text: str) -> None:
    """Scans the text once for duplicate keys (compared after unescaping) and for depth."""
    # Keys seen in each open object; None for a list.
    opened: list[set[str] | None] = []
    found = _MARK.search(text)
    while found is not None:
        start = found.start()
        end = start + 1
        if found.group() == '"':
            end = _end_of_string(text, start)
            keys = opened[-1] if opened else None
            if keys is not None and _COLON.match(text, end):
                _add_key(keys, text[start:end])
        else:
            _track_depth(opened, found.group())
        found = _MARK.search(text, end)


def _track_depth(opened: list[set[str] | None], char: str) -> None:
    if char == "{":
        opened.append(set())
    elif char == "[":
        opened.append(None)
    elif opened:
        opened.pop()
    if len(opened) > MAX_DEPTH:
        raise TrustWardenError("json_too_deep", {"maxDepth": MAX_DEPTH})


def _end_of_string(text: str, start: int) -> int:
    """Index just after the closing quote of the string that starts at `start`."""
    quote = text.find('"', start + 1)
    while quote != -1 and _is_escaped(text, quote):
        quote = text.find('"', quote + 1)
    if quote == -1:
        raise TrustWardenError("json_malformed", {"reason": "unterminated string"})
    return quote + 1


def _is_escaped(text: str, quote: int) -> bool:
    """Whether an odd number of backslashes stands before a quote; the one that opened the string ends the count."""
    index = quote - 1
    while text[index] == "\\":
        index -= 1
    return (quote - index) % 2 == 0


def _add_key(keys: set[str], quoted: str) -> None:
    key = _unescape(quoted) if "\\" in quoted else quoted[1:-1]
    if key in keys:
        raise TrustWardenError("json_duplicate_key")
    keys.add(key)


def _unescape(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError as cause:
        raise TrustWardenError("json_malformed", {"reason": "bad key"}) from cause
