"""The frames of the revocation feed: JSON lines, closed schemas, hard limits.

Deliberately strict: an unknown member, a duplicate key or a second spelling of a nonce is refused, so that both ends
can never read two different frames in the same bytes. Who sent a frame is the business of the connection.

See: docs/path.md, "The lease"
"""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

from .._bytes import count_units, parse_base64url, parse_utf8
from .._json import Json, JsonObject, is_json_list, is_json_object, is_safe_integer, parse_json_object
from ..errors import TrustWardenError

LEASE_PROTOCOL = "trustwarden-lease/1"
"""HTTP/1.1 `Upgrade` token of the connection that carries the frames."""
LEASE_MS = 700
"""How long one echoed nonce lets a verifier go on. A server may grant less, never more."""
BEAT_MS = 200
"""How often a verifier sends a nonce; three may be lost before the lease ends."""
MAX_SERVER_LINE_BYTES = 65_536
_MAX_PUSH_TARGETS = 256
_MAX_TARGET_ID_CHARS = 2048
_NONCE_BYTES = 16
TARGET_KINDS = ("instance", "agent", "owner", "narrowed", "policy", "entry", "authority", "federation")
"""What an epoch can have touched."""


@dataclass(frozen=True, slots=True)
class RevocationTarget:
    """What an epoch did: somebody died, was narrowed, the policy became tighter, or a kept copy is old."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class HelloFrame:
    """First frame of a connection: where its view starts."""

    epoch: int
    lease_ms: int
    seq: int


@dataclass(frozen=True, slots=True)
class EchoFrame:
    """Answer to a beat; extends the lease from when the beat was sent."""

    nonce: str
    epoch: int
    seq: int
    lease_ms: int | None = None
    """What a relay gives: no more than is left of its own lease. None is what the hello said."""


@dataclass(frozen=True, slots=True)
class PushFrame:
    """One step of the epoch."""

    seq: int
    epoch: int
    targets: tuple[RevocationTarget, ...]


ServerFrame: TypeAlias = "HelloFrame | EchoFrame | PushFrame"


def parse_server_frame(line: str) -> ServerFrame:
    """A server's frame from an untrusted line.

    Raises: TrustWardenError `request_malformed`, `request_too_large`, `base64_malformed` or a `json_…` code.
    """
    frame = parse_json_object(line, MAX_SERVER_LINE_BYTES)
    if "hello" in frame:
        return _parse_hello(frame)
    if "echo" in frame:
        lease_ms = _parse_lease_ms(frame["lease_ms"]) if "lease_ms" in frame else None
        _require_members(frame, {"echo", "epoch", "seq"} | ({"lease_ms"} & set(frame)))
        nonce = _parse_nonce(frame["echo"])
        return EchoFrame(nonce, _parse_count(frame["epoch"]), _parse_count(frame["seq"]), lease_ms)
    _require_members(frame, {"epoch", "seq", "targets"})
    targets = frame["targets"]
    if not is_json_list(targets) or not 1 <= len(targets) <= _MAX_PUSH_TARGETS:
        raise _malformed("targets")
    parsed = tuple(_parse_target(target) for target in targets)
    return PushFrame(_parse_count(frame["seq"]), _parse_count(frame["epoch"]), parsed)


def encode_beat(nonce: str, ack: int) -> bytes:
    """The line of a beat, with its end."""
    return json.dumps({"nonce": nonce, "ack": ack}, separators=(",", ":")).encode() + b"\n"


class LineSplitter:
    """Lines out of one direction of one connection; after a raise the connection is useless."""

    def __init__(self, max_bytes: int = MAX_SERVER_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        # Bytes after the last line end; without a limit a peer that never sends one fills the memory.
        self._rest = b""

    def push(self, chunk: bytes) -> list[str]:
        """The lines that the chunk completes, without their ends.

        Raises: TrustWardenError `request_too_large` or `request_malformed` (not UTF-8).
        """
        *whole, rest = (self._rest + chunk).split(b"\n")
        if any(len(line) >= self._max_bytes for line in whole) or len(rest) > self._max_bytes:
            raise TrustWardenError("request_too_large", {"maxBytes": self._max_bytes})
        self._rest = rest
        return [parse_utf8(line) for line in whole]


def _parse_hello(frame: JsonObject) -> HelloFrame:
    _require_members(frame, {"hello"})
    hello = frame["hello"]
    if not is_json_object(hello):
        raise _malformed("hello")
    _require_members(hello, {"epoch", "lease_ms", "seq"})
    lease_ms = _parse_lease_ms(hello["lease_ms"])
    return HelloFrame(_parse_count(hello["epoch"]), lease_ms, _parse_count(hello["seq"]))


def _parse_lease_ms(value: Json) -> int:
    lease_ms = _parse_count(value)
    if not 1 <= lease_ms <= LEASE_MS:
        raise _malformed("lease_ms")
    return lease_ms


def _parse_target(value: Json) -> RevocationTarget:
    if not is_json_object(value):
        raise _malformed("target")
    _require_members(value, {"id", "kind"})
    kind, name = value["kind"], value["id"]
    if not isinstance(kind, str) or kind not in TARGET_KINDS:
        raise _malformed("kind")
    if not isinstance(name, str) or not 1 <= count_units(name) <= _MAX_TARGET_ID_CHARS:
        raise _malformed("id")
    return RevocationTarget(kind, name)


def _parse_nonce(value: Json) -> str:
    """One spelling for a nonce, so that an echo is compared as text."""
    if not isinstance(value, str) or len(parse_base64url(value)) != _NONCE_BYTES:
        raise _malformed("nonce")
    return value


def _parse_count(value: Json) -> int:
    if not is_safe_integer(value) or value < 0:
        raise _malformed("number")
    return value


def _require_members(frame: JsonObject, names: AbstractSet[str]) -> None:
    if set(frame) != names:
        raise _malformed("members")


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("request_malformed", {"frame": "lease", "reason": reason})
