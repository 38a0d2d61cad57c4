"""The clock, the randomness, the voice and the process of this package: the only place that reads them."""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
import warnings
from collections.abc import Mapping

from ._codes import ErrorCode
from .errors import Detail, TrustWardenWarning

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def now_ms() -> int:
    """Wall clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def now_seconds() -> int:
    """Wall clock in Unix seconds, as certificates and intents count."""
    return time.time_ns() // 1_000_000_000


def monotonic() -> float:
    """A clock that only rises, in seconds; its zero means nothing."""
    return time.monotonic()


def random_bytes(length: int) -> bytes:
    """Cryptographically secure."""
    return secrets.token_bytes(length)


def jitter() -> float:
    """A random number from 0 to 1, for jitter only."""
    return secrets.randbelow(65_536) / 65_535


def process_id() -> int:
    """Tells a forked child from its parent."""
    return os.getpid()


def notify(code: ErrorCode, what: str, details: Mapping[str, Detail] | None = None) -> None:
    """Says what a person should hear about although no caller is waiting for it; never holds a secret."""
    text = f"{code}: {what} {json.dumps(dict(details or {}))}"
    try:
        warnings.warn(text, TrustWardenWarning, stacklevel=2)
    except TrustWardenWarning:
        # Where warnings are errors, this one is nobody's to catch: it must not end a worker or lose an outcome.
        logging.getLogger("trustwarden").error(text)


def format_ulid() -> str:
    """A 26-character ULID."""
    value = (now_ms() << 80) | int.from_bytes(random_bytes(10), "big")
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def format_uuid_v7(at_ms: int) -> str:
    """A UUIDv7 (RFC 9562 section 5.7)."""
    value = bytearray(at_ms.to_bytes(6, "big") + random_bytes(10))
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def format_time(at_ms: int) -> str:
    """An RFC 3339 UTC time with milliseconds."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"
