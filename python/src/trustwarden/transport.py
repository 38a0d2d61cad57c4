"""HTTPS over connections whose peer is proven, with limits on time and size.

No redirects, no retries, no decompression: an intent is bound to exactly one request, and a bomb needs a decoder.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpcore

from .errors import TrustWardenError, fail
from .runtime import monotonic
from .tls import PeerCheck, TlsConnection, connect_tls

_IDLE_SECONDS = 15.0
"""How long an idle connection is kept; short, so that a renewed SVID or a changed bundle soon counts everywhere."""
_MAX_CONNECTIONS = 64
_MAX_STATUS = 599
_READ_BYTES = 65_536


@dataclass(frozen=True)
class Origin:
    """Where a request goes: an https scheme, host and port."""

    host: str
    port: int

    @property
    def text(self) -> str:
        """Such as `https://127.0.0.1:7443`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" if self.port == 443 else f"https://{host}:{self.port}"


class Pool:
    """Connections of one SVID, or of nobody, to peers that one check accepts. Safe for threads."""

    def __init__(self, check: PeerCheck | None, max_connections: int = _MAX_CONNECTIONS) -> None:
        self.check = check
        self._pool = httpcore.ConnectionPool(
            ssl_context=_PLACEHOLDER,
            max_connections=max_connections,
            keepalive_expiry=_IDLE_SECONDS,
            retries=0,
            network_backend=_CheckingBackend(self),
        )
        self._lock = threading.Lock()
        self._busy = 0
        self._is_retired = False

    def send(self, call: HttpsCall) -> Answer:
        """Sends a request; the answer's body is still to be read.

        Raises `server_unreachable` without an answer in time, and what the check says of the peer.
        """
        request = httpcore.Request(
            call.method,
            httpcore.URL(
                scheme=b"https",
                host=call.origin.host.encode("idna" if not call.origin.host.isascii() else "ascii"),
                port=call.origin.port,
                target=call.target.encode("ascii"),
            ),
            headers=_headers_of(call),
            content=call.body if call.body is not None else None,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), call.timeout)},
        )
        with self._lock:
            self._busy += 1
        try:
            with _translated(call), _deadline(call.timeout):
                response = self._pool.handle_request(request)
        except BaseException:
            self._finish()
            raise
        answer = Answer(call, response, self._finish)
        if answer.status > _MAX_STATUS:
            answer.close()
            raise fail("server_unreachable", {"host": call.origin.text, "reason": "status"})
        return answer

    def retire(self) -> None:
        """Lets what is under way finish and keeps nothing open after it."""
        with self._lock:
            self._is_retired = True
            is_idle = self._busy == 0
        if is_idle:
            self._pool.close()

    def close(self) -> None:
        """Closes every connection, also one that is in use; a call that comes later leaves none behind either."""
        with self._lock:
            self._is_retired = True
        self._pool.close()

    def _finish(self) -> None:
        with self._lock:
            self._busy -= 1
            is_over = self._is_retired and self._busy == 0
        if is_over:
            self._pool.close()


@dataclass(frozen=True)
class HttpsCall:
    """What to send."""

    origin: Origin
    method: str
    target: str
    """Path and query exactly as sent."""
    headers: Mapping[str, str]
    body: bytes | None = None
    timeout: float = 10.0
    """Seconds until the answer's headers are here."""


class Answer:
    """An answer whose headers are here."""

    def __init__(self, call: HttpsCall, response: httpcore.Response, finish: Callable[[], None]) -> None:
        self._call = call
        self._finish: Callable[[], None] | None = finish
        self._response = response
        self.status = response.status
        self.headers = response.headers
        """Raw, as they came."""
        self.reason = bytes(_extensions_of(response).get("reason_phrase", b""))

    @property
    def connection(self) -> TlsConnection:
        """The connection that it came on."""
        stream = _extensions_of(self._response)["network_stream"]
        return cast("TlsConnection", stream.get_extra_info("connection"))

    def header(self, name: str) -> str | None:
        """A header's only value; None when it is absent or repeated."""
        wanted = name.encode()
        values = [value for key, value in self.headers if key.lower() == wanted]
        return values[0].decode("latin-1") if len(values) == 1 else None

    def has_header(self, name: str) -> bool:
        """Whether a header is there, once or more."""
        return any(key.lower() == name.encode() for key, _ in self.headers)

    def stream(self) -> Iterator[bytes]:
        """The body, part by part. Raises `server_unreachable` when it breaks off."""
        with _translated(self._call):
            yield from self._response.iter_stream()

    def read(self, max_bytes: int) -> bytes:
        """The whole body, in the call's time. Raises `request_too_large`, `server_unreachable`."""
        parts: list[bytes] = []
        size = 0
        try:
            with _deadline(self._call.timeout):
                for part in self.stream():
                    size += len(part)
                    if size > max_bytes:
                        raise fail("request_too_large", {"max_bytes": max_bytes})
                    parts.append(part)
        finally:
            self.close()
        return b"".join(parts)

    def close(self) -> None:
        """Lets go of the connection; what was not read ends it."""
        finish, self._finish = self._finish, None
        try:
            self._response.close()
        finally:
            if finish is not None:
                finish()


class _CheckingBackend(httpcore.NetworkBackend):
    """Opens connections that are proven before httpcore sees them; its own `start_tls` step has nothing to do."""

    def __init__(self, pool: Pool) -> None:
        self._owner = pool

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _CheckedStream(connect_tls(host, port, self._owner.check, _left(timeout)))


class _CheckedStream(httpcore.NetworkStream):
    def __init__(self, connection: TlsConnection) -> None:
        self._connection = connection
        self._socket = connection.socket
        self._unsent = bytearray()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return self

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._flush(timeout)
        try:
            self._socket.settimeout(_left(timeout))
            return self._socket.recv(min(max_bytes, _READ_BYTES))
        except TimeoutError as cause:
            raise httpcore.ReadTimeout(cause) from cause
        except OSError as cause:
            raise httpcore.ReadError(cause) from cause

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Head and body leave in one record; whoever asks reads next.
        self._unsent += buffer
        if len(self._unsent) > _READ_BYTES:
            self._flush(timeout)

    def _flush(self, timeout: float | None) -> None:
        if not self._unsent:
            return
        unsent, self._unsent = self._unsent, bytearray()
        try:
            self._socket.settimeout(_left(timeout))
            self._socket.sendall(unsent)
        except TimeoutError as cause:
            raise httpcore.WriteTimeout(cause) from cause
        except OSError as cause:
            raise httpcore.WriteError(cause) from cause

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "connection":
            return self._connection
        if info == "ssl_object":
            return self._socket
        if info == "socket":
            return self._socket
        if info == "is_readable":
            return _is_readable(self._socket)
        return None


def _extensions_of(response: httpcore.Response) -> dict[str, Any]:
    return cast("Any", response).extensions


def _is_readable(wrapped: ssl.SSLSocket) -> bool:
    """Whether an idle connection has something to say, which can only be its end."""
    if wrapped.fileno() < 0:
        return True
    poll = getattr(select, "poll", None)
    if poll is None:
        return bool(select.select([wrapped], [], [], 0)[0])
    poller = poll()
    poller.register(wrapped, select.POLLIN)
    return bool(poller.poll(0))


class _Clock(threading.local):
    ends_at: float | None = None


_clock = _Clock()


@contextlib.contextmanager
def _deadline(seconds: float) -> Generator[None, None, None]:
    """Bounds everything this thread reads and writes meanwhile: bytes that trickle in do not make it longer."""
    before = _clock.ends_at
    _clock.ends_at = monotonic() + seconds
    try:
        yield
    finally:
        _clock.ends_at = before


def _left(timeout: float | None) -> float | None:
    if _clock.ends_at is None:
        return timeout
    left = max(_clock.ends_at - monotonic(), 0.001)
    return left if timeout is None else min(left, timeout)


@contextlib.contextmanager
def _translated(call: HttpsCall) -> Generator[None, None, None]:
    try:
        yield
    except TrustWardenError:
        raise
    except httpcore.TimeoutException as cause:
        raise fail("server_unreachable", {"host": call.origin.text, "reason": "timeout"}) from cause
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as cause:
        reason = type(cause).__name__
        raise fail("server_unreachable", {"host": call.origin.text, "reason": reason}) from cause


def _headers_of(call: HttpsCall) -> list[tuple[bytes, bytes]]:
    headers = [("host", call.origin.text.removeprefix("https://")), *call.headers.items()]
    if call.body is not None:
        headers.append(("content-length", str(len(call.body))))
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


# httpcore wants a context for each https origin; the connection is made before it is used.
_PLACEHOLDER = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
