"""A verifier's lease: one connection to the server that carries every revocation here, and proves that it does.

Sends a nonce every 200 ms and reconnects for ever, with jitter. What the frames mean is the business of
`RevocationView`, and while nothing arrives, the lease runs out there by itself. So a suspended process, a blocked
thread or a cut network all end the same way: refused, until the server has been heard again.

See: docs/path.md, "The lease"
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .._bytes import encode_base64url
from ..errors import Detail, TrustWardenError, fail
from ..runtime import jitter, monotonic, now_ms, random_bytes
from ..tls import connect_tls
from ..transport import Origin
from .frames import LEASE_MS, LEASE_PROTOCOL, LineSplitter, PushFrame, encode_beat, parse_server_frame
from .lease_patience import LeasePatience
from .lease_places import LeasePlaces
from .view import Instant, RevocationView

LEASE_PATH = "/v1/lease"
"""Where the stop listener takes leases."""
_SEND_SECONDS = 2 * LEASE_MS / 1000
"""A beat that cannot even be written for so long: the connection is gone."""
_MAX_HEAD_BYTES = 16_384
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,4})[ \t]*(?=\r\n|$)", re.IGNORECASE)
"""RFC 9110 section 10.2.3, the form in seconds; ours are one or two digits."""
_MIN_BEAT_GAP_SECONDS = 0.01
_READY_SECONDS = 10.0


@dataclass(frozen=True)
class LeaseFollower:
    """Hears the feed, on the lease's own thread; must neither raise nor wait."""

    on_kinds: Callable[[frozenset[str]], None]
    """The kinds of what an epoch touched, as soon as it is applied."""
    on_connected: Callable[[], None]
    """A new connection: what happened since the last one was not told."""


class Lease:
    """Opens a lease and keeps it until `close`, on a thread of its own that keeps no process alive."""

    def __init__(self, places: LeasePlaces, follower: LeaseFollower) -> None:
        self._places = places
        self._follower = follower
        self._lock = threading.Lock()
        self._view = RevocationView()
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._last_failure: TrustWardenError | None = None
        self._patience = LeasePatience(jitter)
        # The latest epoch that a decision of the server named, and when it was first heard of here.
        self._named = (0, 0.0)
        # Set by whoever finds the feed behind; the lease's thread then ends the connection.
        self._is_behind = False
        threading.Thread(target=self._keep, name="trustwarden-lease", daemon=True).start()

    def require_fresh(self) -> None:
        """Refuses unless the view is live at this very moment.

        Raises: TrustWardenError `lease_expired`.
        """
        if self._closed.is_set():
            raise TrustWardenError("lease_expired", {"reason": "closed"})
        with self._lock:
            self._view.require_fresh(_now())
            self._require_abreast()

    def require_untouched(self, epoch: int, ids: Iterable[str]) -> None:
        """Says nothing without `require_fresh` beside it.

        Raises: TrustWardenError `identity_revoked` or `decision_stale`.
        """
        with self._lock:
            if epoch > max(self._named[0], self._view.epoch):
                self._named = (epoch, monotonic())
            self._view.require_untouched(epoch, ids)

    def wait_ready(self, seconds: float = _READY_SECONDS) -> None:
        """Returns when there is a lease.

        Raises: TrustWardenError `server_unreachable` in vain, or what the check said of the server.
        """
        if not self._ready.wait(seconds):
            raise self._last_failure or _unreachable("no lease yet")

    def close(self) -> None:
        """Ends the connection and the lease."""
        self._closed.set()

    def _require_abreast(self) -> None:
        """A relay that answers beats and keeps pushes to itself is found out by the server's decisions.

        They come another way, and name a later epoch than the feed; an honest feed is behind for less than a lease.
        """
        epoch, since = self._named
        if not self._places.are_relays or epoch <= self._view.epoch or monotonic() - since < LEASE_MS / 1000:
            return
        self._is_behind = True
        raise TrustWardenError("lease_expired", {"reason": "the feed is behind the server's decisions"})

    def _keep(self) -> None:
        while not self._closed.is_set():
            asked_for: Detail = 0
            try:
                self._follow()
            except Exception as error:
                # Safe to go on: the lease ends by itself, and everything is refused until the next echo.
                failure = error if isinstance(error, TrustWardenError) else _unreachable("connection")
                self._last_failure, asked_for = failure, failure.details.get("retryAfterSeconds")
            self._places.move_on()
            self._closed.wait(self._patience.fail(monotonic(), asked_for if isinstance(asked_for, int) else 0))

    def _follow(self) -> None:
        origin = self._places.origin
        seconds = self._patience.upgrade_seconds
        connection = connect_tls(origin.host, origin.port, self._places.check, seconds)
        self._is_behind = False
        with contextlib.closing(connection.socket) as wire:
            wire.settimeout(seconds)
            wire.sendall(_upgrade_request(origin))
            rest = _read_upgraded(wire.recv, wire.settimeout, monotonic() + seconds)
            with self._lock:
                self._view.on_connect()
            _Following(self, self._patience, wire.recv, wire.sendall, wire.settimeout).run(rest)

    # What `_Following` needs of the state that all connections share.

    def _take(self, line: str) -> bool:
        """Applies one line; whether it asks for a beat at once."""
        frame = parse_server_frame(line)
        with self._lock:
            before, was_following = self._view.epoch, self._view.is_following
            self._view.on_frame(frame)
            if self._view.is_stale:
                raise _unreachable("the feed has a gap or went back")
            wants_beat = not was_following or self._view.epoch != before
            is_fresh = _is_fresh(self._view)
        if is_fresh:
            self._ready.set()
        if not was_following:
            self._follower.on_connected()
        if isinstance(frame, PushFrame):
            self._follower.on_kinds(frozenset(target.kind for target in frame.targets))
            if self._places.refuse_stopped(frame.targets):
                raise _unreachable("the relay was stopped")
        return wants_beat

    def _next_beat(self) -> bytes | None:
        """The next beat, noted before it is written: the lease counts from sending."""
        with self._lock:
            if not self._view.is_following:
                return None
            nonce = encode_base64url(random_bytes(16))
            self._view.on_sent(nonce, _now())
            return encode_beat(nonce, self._view.epoch)

    @property
    def _is_over(self) -> bool:
        return self._closed.is_set() or self._is_behind


class _Following:
    """One connection: reads frames, and beats every 200 ms in between. Lives on the lease's thread."""

    def __init__(
        self,
        lease: Lease,
        patience: LeasePatience,
        receive: Callable[[int], bytes],
        send: Callable[[bytes], object],
        set_timeout: Callable[[float], None],
    ) -> None:
        self._lease = lease
        self._patience = patience
        self._receive = receive
        self._send = send
        self._set_timeout = set_timeout
        self._lines = LineSplitter()
        self._last_beat_at = 0.0
        now = monotonic()
        patience.begin(now)
        self._next_beat_at = now + patience.next_beat_seconds(now)

    def run(self, first: bytes) -> None:
        """Follows until the connection or the lease ends, which raises or returns."""
        self._feed(first)
        while not self._lease._is_over:  # pyright: ignore[reportPrivateUsage]
            wait = self._next_beat_at - monotonic()
            if wait <= 0:
                self._beat()
                continue
            self._set_timeout(wait)
            try:
                data = self._receive(65_536)
            except TimeoutError:
                continue
            if data == b"":
                return
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        for line in self._lines.push(data):
            was_late = self._patience.hear(monotonic())
            # An acknowledgement goes out at once after a push, but a burst of pushes shares one.
            if self._lease._take(line) or was_late:  # pyright: ignore[reportPrivateUsage]
                self._next_beat_at = max(monotonic(), self._last_beat_at + _MIN_BEAT_GAP_SECONDS)

    def _beat(self) -> None:
        now = monotonic()
        self._next_beat_at = now + self._patience.next_beat_seconds(now)
        if self._patience.is_over(now):
            raise _unreachable("no answer")
        # Before a hello there is nothing to beat for, and who never says one is silent like anybody else.
        self._patience.beat()
        beat = self._lease._next_beat()  # pyright: ignore[reportPrivateUsage]
        if beat is not None:
            self._last_beat_at = now
            self._set_timeout(_SEND_SECONDS)
            self._send(beat)


def _upgrade_request(origin: Origin) -> bytes:
    host = origin.text.removeprefix("https://")
    head = (f"GET {LEASE_PATH} HTTP/1.1", f"host: {host}", "connection: Upgrade", f"upgrade: {LEASE_PROTOCOL}")
    return "\r\n".join((*head, "", "")).encode("ascii")


def _read_upgraded(receive: Callable[[int], bytes], set_timeout: Callable[[float], None], ends_at: float) -> bytes:
    """What follows the head of the answer, which has to be there in time however its bytes come.

    Raises: TrustWardenError `server_unreachable` for any other answer than the upgrade.
    """
    head = b""
    while b"\r\n\r\n" not in head:
        left = ends_at - monotonic()
        if left <= 0:
            raise _unreachable("upgrade timeout")
        set_timeout(left)
        part = receive(4096)
        head += part
        if part == b"" or len(head) > _MAX_HEAD_BYTES:
            raise _unreachable("no upgrade")
    head, _, rest = head.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101 "):
        raise _not_now(head)
    return rest


def _not_now(head: bytes) -> TrustWardenError:
    """Another answer than the upgrade, with what it says of coming again."""
    found = _RETRY_AFTER.search(head)
    asked_for = {"retryAfterSeconds": int(found[1])} if found else {}
    return fail("server_unreachable", {"reason": f"status {head[9:12].decode('latin-1')}", **asked_for})


def _is_fresh(view: RevocationView) -> bool:
    try:
        view.require_fresh(_now())
    except TrustWardenError:
        # Not a failure here: whoever asks waits for the next echo.
        return False
    return True


def _now() -> Instant:
    return Instant(monotonic() * 1000, now_ms())


def _unreachable(reason: str) -> TrustWardenError:
    return fail("server_unreachable", {"reason": reason})
