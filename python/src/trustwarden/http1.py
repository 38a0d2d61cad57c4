"""HTTP/1.1 as this package speaks it: one request written whole, one answer read strictly, with limits.

A peer is proven before it is read, and may be hostile all the same: what two readers could take for two things (folded
lines, two lengths, a length beside chunks) is no answer. No compression, no upgrades; informational answers are passed
over. See RFC 9112; `transport` owns the connections.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

MAX_HEAD_BYTES = 65_536
"""Status line and headers, and the trailers of chunks; a receipt takes 16 KiB of them at most."""
_MAX_HEADERS = 128
_MAX_INFORMATIONAL = 8
_MAX_CHUNK_LINE_BYTES = 256
_END_OF_HEAD = b"\r\n\r\n"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RAW_NAME = re.compile(_NAME.pattern.encode())
_TARGET = re.compile(r"[\x21-\x7e]+")
# A control character in a value could end the header, or begin another request.
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_RAW_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_FRAMING = frozenset((b"connection", b"content-length", b"transfer-encoding"))

Headers = tuple[tuple[bytes, bytes], ...]
"""As they came, in their order."""


class MalformedAnswerError(ValueError):
    """What came is no answer, or broke off."""


def encode_request(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None) -> bytes:
    """A request as it is sent, head and body. Raises `ValueError` for what would be another request."""
    if not _NAME.fullmatch(method) or not _TARGET.fullmatch(target):
        raise ValueError("method or target")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("header")
        lines.append(f"{name}: {value}")
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + (body or b"")


@dataclass(frozen=True)
class AnswerHead:
    """What stands before a body, and how long that is."""

    status: int
    reason: bytes
    headers: Headers
    length: int | None
    """Bytes of the body; None when chunks or the connection's end say where it ends."""
    is_chunked: bool
    keeps_open: bool
    """Whether the connection may carry another request once the body is read."""


class AnswerReader:
    """Reads one answer of one connection. `receive` gives some bytes, and none at the connection's end."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._buffer = b""

    @property
    def is_drained(self) -> bool:
        """Whether nothing came beyond what was read: whatever did is the answer to no request."""
        return self._buffer == b""

    def read_head(self, method: str) -> AnswerHead:
        """The head of the final answer. Raises `MalformedAnswerError`."""
        for _ in range(_MAX_INFORMATIONAL):
            head = _parse_head(self._read_until(_END_OF_HEAD, MAX_HEAD_BYTES), method)
            if head.status >= 200:
                return head
            if head.status == 101:
                break
        raise MalformedAnswerError("no final answer")

    def read_body(self, head: AnswerHead) -> Iterator[bytes]:
        """The body, part by part. Raises `MalformedAnswerError` when it breaks off."""
        if head.is_chunked:
            return self._read_chunks()
        return self._read_to_end() if head.length is None else self._read_exactly(head.length)

    def _read_chunks(self) -> Iterator[bytes]:
        while (size := _parse_chunk_line(self._read_until(b"\r\n", _MAX_CHUNK_LINE_BYTES))) > 0:
            yield from self._read_exactly(size)
            if self._read_until(b"\r\n", 2) != b"":
                raise MalformedAnswerError("a chunk is longer than it says")
        read = 0
        while (line := self._read_until(b"\r\n", MAX_HEAD_BYTES)) != b"":
            read += len(line)
            if read > MAX_HEAD_BYTES:
                raise MalformedAnswerError("trailers")
            _parse_header(line)

    def _read_exactly(self, size: int) -> Iterator[bytes]:
        left = size
        while left > 0:
            data = self._buffer or self._more()
            part, self._buffer = data[:left], data[left:]
            left -= len(part)
            yield part

    def _read_to_end(self) -> Iterator[bytes]:
        data, self._buffer = self._buffer, b""
        while data or (data := self._receive()):
            yield data
            data = b""

    def _read_until(self, mark: bytes, max_bytes: int) -> bytes:
        """What stands before a mark, which is read too."""
        found = self._buffer.find(mark)
        while found < 0:
            if len(self._buffer) > max_bytes:
                raise MalformedAnswerError("too long")
            before = len(self._buffer)
            self._buffer += self._more()
            found = self._buffer.find(mark, max(0, before - len(mark) + 1))
        if found > max_bytes:
            raise MalformedAnswerError("too long")
        data, self._buffer = self._buffer[:found], self._buffer[found + len(mark) :]
        return data

    def _more(self) -> bytes:
        data = self._receive()
        if not data:
            raise MalformedAnswerError("broke off")
        return data


def _parse_head(data: bytes, method: str) -> AnswerHead:
    first, *lines = data.split(b"\r\n")
    status_line = _STATUS.fullmatch(first)
    if status_line is None or len(lines) > _MAX_HEADERS:
        raise MalformedAnswerError("status line" if status_line is None else "too many headers")
    minor, code, reason = status_line.groups()
    status = int(code)
    headers: list[tuple[bytes, bytes]] = []
    framing: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, value = _parse_header(line)
        headers.append((name, value))
        if (lower := name.lower()) in _FRAMING:
            framing.setdefault(lower, []).append(value)
    length, is_chunked = _framing_of(framing, minor)
    if method == "HEAD" or status in (204, 304) or status < 200:
        length, is_chunked = 0, False
    tokens = b",".join(framing.get(b"connection", ())).lower().replace(b" ", b"").split(b",")
    keeps_open = minor == b"1" and b"close" not in tokens and (is_chunked or length is not None)
    return AnswerHead(status, reason or b"", tuple(headers), length, is_chunked, keeps_open)


def _parse_header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, rest = line.partition(b":")
    value = rest.strip(b" \t")
    if not colon or _RAW_NAME.fullmatch(name) is None or _RAW_VALUE.fullmatch(value) is None:
        raise MalformedAnswerError("header")
    return name, value


def _framing_of(framing: dict[bytes, list[bytes]], minor: bytes) -> tuple[int | None, bool]:
    lengths, codings = framing.get(b"content-length", []), framing.get(b"transfer-encoding", [])
    if codings:
        if minor != b"1" or lengths or len(codings) != 1 or codings[0].lower() != b"chunked":
            raise MalformedAnswerError("transfer coding")
        return None, True
    if not lengths:
        return None, False
    if len(lengths) != 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise MalformedAnswerError("length")
    return int(lengths[0]), False


def _parse_chunk_line(line: bytes) -> int:
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise MalformedAnswerError("chunk")
    return int(found[1], 16)
