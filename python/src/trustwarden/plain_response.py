"""Answers of services as they came: nothing is decoded unasked, and only what has an end is read whole.

`httpx` decodes whatever coding an answer names: a megabyte of a hostile service would become a gigabyte here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import httpx

from .errors import fail
from .transport import Answer

MAX_WHOLE_BYTES = 67_108_864
"""Of an answer that `fetch` reads whole; a larger one is for a client that streams."""
_PATIENCE = 10
"""An answer that is read whole has so many times the wait between its parts."""


@dataclass(frozen=True)
class Bounds:
    """Of an answer that is read whole."""

    max_bytes: int
    seconds: float


def whole_within(timeout: float) -> Bounds:
    """The bounds of an answer that may take this long between its parts."""
    return Bounds(MAX_WHOLE_BYTES, timeout * _PATIENCE)


class BodyOf(httpx.SyncByteStream):
    """The body of an answer, to its end or its bounds; past them `request_too_large` or `server_unreachable`."""

    def __init__(self, answer: Answer, bounds: Bounds | None) -> None:
        self._answer = answer
        self._bounds = bounds

    def __iter__(self) -> Iterator[bytes]:
        bounds, began, read = self._bounds, time.monotonic(), 0
        for part in self._answer.stream():
            read += len(part)
            if bounds is not None and read > bounds.max_bytes:
                raise fail("request_too_large", {"max_bytes": bounds.max_bytes})
            if bounds is not None and time.monotonic() - began > bounds.seconds:
                raise fail("server_unreachable", {"reason": "body timeout"})
            yield part

    def close(self) -> None:
        """Gives the connection up or back."""
        self._answer.close()


def asks_for_coding(headers: Mapping[str, str]) -> bool:
    """Whether a request says that it takes a coded answer; then decoding is its caller's wish."""
    return any(name.lower() == "accept-encoding" and value.strip() != "identity" for name, value in headers.items())


class PlainResponse(httpx.Response):
    """Gives the bytes as they came, whatever coding the answer names."""

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """As `iter_raw`; once read, the bytes that are kept."""
        if not self.is_stream_consumed:
            yield from self.iter_raw(chunk_size)
            return
        yield from super().iter_bytes(chunk_size)

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """As `aiter_raw`; once read, the bytes that are kept."""
        parts = super().aiter_bytes(chunk_size) if self.is_stream_consumed else self.aiter_raw(chunk_size)
        async for part in parts:
            yield part
