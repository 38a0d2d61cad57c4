"""gRPC over HTTP/2 to a local endpoint, by `h2`: no compression, no retries, no TLS.

Knows nothing of SPIFFE except the security header. Each call has a connection of its own, so that the endpoint attests
the process that asks, also after a fork. A call ends in messages, in a status, or in time.

See: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; SPIFFE_Workload_Endpoint.md sections 3 and 6
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from ..errors import TrustWardenError, fail
from ..runtime import monotonic
from .address import EndpointAddress
from .messages import refused

_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""As other gRPC clients have it; hundreds of bundles fit."""
_MAX_REQUEST_BYTES = 65_000
"""What a stream's first window takes; nobody asks for more."""
_MAX_HEADER_BYTES = 65_536
_FRAME_BYTES = 16_384
_PREFIX_BYTES = 5
_MAX_DETAIL_CHARS = 200
_STREAM = 1
_OK, _INVALID_ARGUMENT, _PERMISSION_DENIED, _UNAUTHENTICATED = "0", "3", "7", "16"


class Call:
    """One call; its owner closes it. `timeout` is for all of it, or for the first message where it stays open."""

    def __init__(
        self, address: EndpointAddress, path: str, request: bytes, timeout: float, *, stays_open: bool = False
    ) -> None:
        self._ends_at = monotonic() + timeout
        self._stays_open = stays_open
        self._path = path
        self._request = request
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_open_ended = False
        self._headers: dict[bytes, bytes] = {}
        if len(request) > _MAX_REQUEST_BYTES:
            raise fail("request_malformed", {"reason": "too large"})
        try:
            self._socket = address.connect(timeout)
        except OSError as cause:
            raise _unreachable(type(cause).__name__) from cause

    def messages(self) -> Iterator[bytes]:
        """The messages as they come; ends with a good status.

        Raises `no_identity`, `request_malformed`, `workload_gone`, `server_unreachable`, `workload_answer_refused`.
        """
        link = H2Connection(H2Configuration(client_side=True))
        link.local_settings = Settings(
            client=True,
            initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_BYTES},
        )
        buffered = bytearray()
        try:
            self._ask(link)
            while True:
                for event in link.receive_data(self._receive()):
                    if isinstance(event, DataReceived):
                        link.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
                        buffered += event.data or b""
                        for message in _messages_of(buffered):
                            self._is_open_ended = self._stays_open
                            yield message
                    elif self._is_over(event):
                        self._require_good()
                        return
                self._send(link)
        except (H2Error, OSError) as cause:
            raise _unreachable(type(cause).__name__) from cause
        finally:
            self.close()

    def expect_more_within(self, seconds: float | None) -> None:
        """Ends a call that stays open unless a message comes in time; None waits for ever."""
        self._is_open_ended = seconds is None
        self._ends_at = self._ends_at if seconds is None else monotonic() + seconds

    def close(self) -> None:
        """Ends the call, also one that another thread waits for."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _ask(self, link: H2Connection) -> None:
        link.initiate_connection()
        link.send_headers(
            _STREAM,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "localhost"),
                (":path", self._path),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("workload.spiffe.io", "true"),
            ],
        )
        framed = b"\0" + len(self._request).to_bytes(4, "big") + self._request
        for start in range(0, len(framed), _FRAME_BYTES):
            link.send_data(_STREAM, framed[start : start + _FRAME_BYTES])
        link.end_stream(_STREAM)
        self._send(link)

    def _send(self, link: H2Connection) -> None:
        data = link.data_to_send()
        if data:
            self._limit()
            self._socket.sendall(data)

    def _receive(self) -> bytes:
        self._limit()
        data = self._socket.recv(65_536)
        if not data:
            raise _unreachable("the connection ended")
        return data

    def _limit(self) -> None:
        left = self._ends_at - monotonic()
        if self._is_open_ended:
            self._socket.settimeout(None)
        elif left <= 0:
            raise _unreachable("no answer in time")
        else:
            self._socket.settimeout(left)

    def _is_over(self, event: Event) -> bool:
        if isinstance(event, (ResponseReceived, TrailersReceived)):
            for name, value in event.headers or ():
                self._headers[bytes(name)] = bytes(value)
        if isinstance(event, (StreamReset, ConnectionTerminated)):
            raise _unreachable("the call was broken off")
        return isinstance(event, StreamEnded)

    def _require_good(self) -> None:
        """The status decides the code; the endpoint's text is a detail."""
        status = self._headers.get(b"grpc-status", b"").decode("latin-1")
        if status == "":
            raise _unreachable("no status")
        if status == _OK:
            return
        said = unquote_to_bytes(self._headers.get(b"grpc-message", b"")).decode(errors="replace")
        _refuse(status, said[:_MAX_DETAIL_CHARS])


def _messages_of(buffered: bytearray) -> Iterator[bytes]:
    """Takes the whole messages off what came."""
    while len(buffered) >= _PREFIX_BYTES:
        length = int.from_bytes(buffered[1:_PREFIX_BYTES], "big")
        if buffered[0] != 0:
            raise refused("compressed, which nobody asked for")
        if length > _MAX_MESSAGE_BYTES:
            raise refused("too large")
        end = _PREFIX_BYTES + length
        if len(buffered) < end:
            return
        message = bytes(buffered[_PREFIX_BYTES:end])
        del buffered[:end]
        yield message


def _refuse(status: str, said: str) -> NoReturn:
    details = {"status": status, "said": said}
    if status == _PERMISSION_DENIED:
        raise fail("no_identity", details)
    if status == _INVALID_ARGUMENT:
        raise fail("request_malformed", details)
    if status == _UNAUTHENTICATED:
        raise fail("workload_gone", details)
    raise fail("server_unreachable", details)


def _unreachable(reason: str) -> TrustWardenError:
    return fail("server_unreachable", {"reason": reason})
