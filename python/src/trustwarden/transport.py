"""HTTPS over connections whose peer is proven, with limits on time and size.

No redirects, no retries, no decompression: an intent is bound to exactly one request, and a bomb needs a decoder.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

from .errors import TrustWardenError, fail
from .http1 import AnswerHead, AnswerReader, MalformedAnswerError, encode_request
from .runtime import monotonic, process_id
from .tls import ConnectionCheck, TlsConnection, connect_tls

_IDLE_SECONDS = 15.0
"""How long an idle connection is kept."""
_MAX_AGE_SECONDS = 60.0
"""How old one gets that is never idle for so long: its peer was proven once, by the bundle of that moment."""
_MAX_CONNECTIONS = 64
_READ_BYTES = 65_536
_LEAST_SECONDS = 0.001
"""A socket takes a wait of nothing for no limit at all."""


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


class Pool:
    """Connections of one SVID, or of nobody, to peers that one check accepts. Safe for threads."""

    def __init__(self, check: ConnectionCheck | None, max_connections: int = _MAX_CONNECTIONS) -> None:
        self.check = check
        self._max_connections = max_connections
        self._pid = process_id()
        # Both are written under the condition's lock, which nobody holds while a byte is sent or awaited.
        self._changed = threading.Condition()
        self._idle: list[_Link] = []
        self._opening = 0
        self._busy: set[_Link] = set()
        self._is_retired = False

    def send(self, call: HttpsCall) -> Answer:
        """Sends a request; the answer's body is still to be read.

        Raises `request_malformed`, `server_unreachable` without an answer in time, and what the check says of the peer.
        """
        request = _request_of(call)
        ends_at = monotonic() + call.timeout
        with _translated(call):
            link = self._take(call.origin, ends_at)
            try:
                link.limit(call.timeout, ends_at)
                link.send(request)
                reader = AnswerReader(link.receive)
                head = reader.read_head(call.method)
            except BaseException:
                self._let_go(link, is_reusable=False)
                raise
        return Answer(call, link, reader, head, self._let_go)

    def retire(self) -> None:
        """Lets what is under way finish and keeps nothing open after it."""
        # A forked child's connections are its parent's, and their lock may be held for ever.
        if process_id() != self._pid:
            return
        with self._changed:
            self._is_retired = True
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def close(self) -> None:
        """Closes every connection, also one that is in use; a call that comes later leaves none behind either."""
        if process_id() != self._pid:
            return
        self.retire()
        with self._changed:
            busy = list(self._busy)
        for link in busy:
            link.cut()

    def _take(self, origin: Origin, ends_at: float) -> _Link:
        """A connection that nobody else uses meanwhile."""
        with self._changed:
            while (link := self._find_idle(origin)) is None and self._is_full():
                if not self._changed.wait(max(0.0, ends_at - monotonic())):
                    raise TimeoutError
            if link is not None:
                self._busy.add(link)
                return link
            self._opening += 1
        try:
            opened = _Link(origin, connect_tls(origin.host, origin.port, self.check, _left(ends_at)))
        except BaseException:
            with self._changed:
                self._opening -= 1
                self._changed.notify_all()
            raise
        with self._changed:
            self._opening -= 1
            self._busy.add(opened)
        return opened

    def _find_idle(self, origin: Origin) -> _Link | None:
        """The connection that was used last, if it still lives; those that do not are closed on the way."""
        oldest = monotonic() - _IDLE_SECONDS
        alive: list[_Link] = []
        found: _Link | None = None
        for link in reversed(self._idle):
            if link.idle_since < oldest or (found is None and link.origin == origin and link.has_something_to_say()):
                link.close()
            elif found is None and link.origin == origin:
                found = link
            else:
                alive.append(link)
        alive.reverse()
        self._idle = alive
        return found

    def _is_full(self) -> bool:
        if len(self._idle) + len(self._busy) + self._opening < self._max_connections:
            return False
        if not self._idle:
            return True
        # Another origin's, unused for longest, gives way.
        self._idle.pop(0).close()
        return False

    def _let_go(self, link: _Link, *, is_reusable: bool) -> None:
        with self._changed:
            self._busy.discard(link)
            now = monotonic()
            is_kept = is_reusable and not self._is_retired and now - link.opened_at < _MAX_AGE_SECONDS
            if is_kept:
                link.idle_since = now
                self._idle.append(link)
            # All of them: one alone might be giving up at this moment, and the others would sleep beside a free place.
            self._changed.notify_all()
        if not is_kept:
            link.close()


class Answer:
    """An answer whose headers are here."""

    def __init__(
        self, call: HttpsCall, link: _Link, reader: AnswerReader, head: AnswerHead, let_go: Callable[..., None]
    ) -> None:
        self._call = call
        self._link = link
        self._reader = reader
        self._head = head
        self._let_go: Callable[..., None] | None = let_go
        self._is_read = head.length == 0 and not head.is_chunked
        self.connection: TlsConnection = link.connection
        """The connection that it came on."""
        self.status = head.status
        self.headers = head.headers
        """Raw, as they came."""
        self.reason = head.reason

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
        return self._parts()

    def read(self, max_bytes: int) -> bytes:
        """The whole body, in the call's time. Raises `request_too_large`, `server_unreachable`."""
        parts: list[bytes] = []
        size = 0
        try:
            # Bytes that trickle in do not make it longer.
            for part in self._parts(monotonic() + self._call.timeout):
                size += len(part)
                if size > max_bytes:
                    raise fail("request_too_large", {"max_bytes": max_bytes})
                parts.append(part)
        finally:
            self.close()
        return b"".join(parts)

    def close(self) -> None:
        """Lets go of the connection; what was not read ends it."""
        let_go, self._let_go = self._let_go, None
        if let_go is not None:
            is_over = self._is_read and self._head.keeps_open and self._reader.is_drained
            let_go(self._link, is_reusable=is_over)

    def _parts(self, ends_at: float | None = None) -> Iterator[bytes]:
        if self._is_read or self._let_go is None:
            return
        with _translated(self._call):
            self._link.limit(self._call.timeout, ends_at)
            yield from self._reader.read_body(self._head)
        self._is_read = True


class _Link:
    """One open connection; whoever took it from the pool owns it."""

    def __init__(self, origin: Origin, connection: TlsConnection) -> None:
        self.origin = origin
        self.connection = connection
        self.wire = connection.socket
        self.opened_at = monotonic()
        self.idle_since = 0.0
        self._receiving = threading.Lock()
        self._timeout = _IDLE_SECONDS
        self._ends_at: float | None = None

    def limit(self, timeout: float, ends_at: float | None = None) -> None:
        """How long each part may take from here on, and when everything is over."""
        self._timeout = timeout
        self._ends_at = ends_at
        if ends_at is None:
            self.wire.settimeout(max(timeout, _LEAST_SECONDS))

    def send(self, data: bytes) -> None:
        """All of it. Raises `TimeoutError` when everything is over, however well a slow reader keeps it going."""
        unsent = memoryview(data)
        while unsent:
            self._limit_next()
            unsent = unsent[self.wire.send(unsent) :]

    def receive(self) -> bytes:
        """Some bytes, none at the end that the peer announced. Raises `OSError` for an end without a word."""
        with self._receiving:
            self._limit_next()
            return self.wire.recv(_READ_BYTES)

    def has_something_to_say(self) -> bool:
        """Whether an idle connection does, which can only be its end."""
        if self.wire.fileno() < 0 or self.wire.pending() > 0:
            return True
        poll = getattr(select, "poll", None)
        if poll is None:
            return bool(select.select([self.wire], [], [], 0)[0])
        poller = poll()
        poller.register(self.wire, select.POLLIN)
        return bool(poller.poll(0))

    def cut(self) -> None:
        """Ends it under the hands of whoever uses it, who then closes it; only so does a blocked reader wake."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.wire, socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends it, also while another thread reads, whose caller was cancelled: that one wakes first.

        Else its descriptor, given to another connection, would have it read what is not its own.
        """
        if self._receiving.locked():
            self.cut()
        with self._receiving:
            self.wire.close()

    def _limit_next(self) -> None:
        if self._ends_at is None:
            return
        left = self._ends_at - monotonic()
        if left <= 0:
            raise TimeoutError
        self.wire.settimeout(min(self._timeout, left))


def _left(ends_at: float) -> float:
    return max(ends_at - monotonic(), _LEAST_SECONDS)


@contextlib.contextmanager
def _translated(call: HttpsCall) -> Generator[None, None, None]:
    try:
        yield
    except TrustWardenError:
        raise
    except TimeoutError as cause:
        raise fail("server_unreachable", {"host": call.origin.text, "reason": "timeout"}) from cause
    except (MalformedAnswerError, OSError) as cause:
        reason = type(cause).__name__
        raise fail("server_unreachable", {"host": call.origin.text, "reason": reason}) from cause


def _request_of(call: HttpsCall) -> bytes:
    headers = [("host", call.origin.text.removeprefix("https://")), *call.headers.items()]
    try:
        return encode_request(call.method, call.target, headers, call.body)
    except ValueError as cause:
        raise fail("request_malformed", {"reason": str(cause)}) from cause
