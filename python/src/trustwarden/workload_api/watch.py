"""Follows one stream of the Workload API: each message is the whole state, proven before anybody hears of it.

A message that is not believed is discarded, and the stream stays, since the next one is the whole state again; when
none comes, the endpoint is asked anew. A stream that ends is opened again with a backoff, unless the endpoint said that
asking again is of no use.

See: SPIFFE_Workload_Endpoint.md section 6, appendix A; SPIFFE_Workload_API.md sections 4.2 to 4.5
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import TrustWardenError, fail
from ..runtime import jitter, notify

if TYPE_CHECKING:
    from .grpc import Call

T = TypeVar("T")

_FIRST_DELAY_SECONDS = 0.5
"""Between attempts; doubled each time, with jitter, up to the longest."""
_LONGEST_DELAY_SECONDS = 30.0
FINAL = ("3", "12")
"""InvalidArgument and Unimplemented: report an error, do not retry."""


@dataclass(frozen=True)
class Watched(Generic[T]):
    """What is watched, and who hears of it."""

    open_call: Callable[[], Call]
    read: Callable[[bytes], T]
    """Raises for a message that nobody may believe."""
    on_state: Callable[[T], None]
    on_error: Callable[[TrustWardenError], None]
    forget: Callable[[Watch[T]], None]


class Watch(Generic[T]):
    """One stream after the other on a thread of its own, until it is closed or of no use."""

    def __init__(self, watched: Watched[T]) -> None:
        self._watched = watched
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._call: Call | None = None
        self._has_spoken = False

    def start(self) -> None:
        """A daemon thread: a watch alone does not keep a process alive."""
        threading.Thread(target=self._run, name="trustwarden-workload-watch", daemon=True).start()

    def close(self) -> None:
        """Nothing is told after this, but what is being told."""
        self._ending.set()
        with self._lock:
            call = self._call
        if call is not None:
            call.close()
        self._watched.forget(self)

    def _run(self) -> None:
        delay = _FIRST_DELAY_SECONDS
        while not self._ending.is_set():
            self._has_spoken = False
            error = self._follow(delay * (0.5 + jitter()))
            if self._ending.is_set():
                return
            if error is not None:
                tell(self._watched.on_error, error)
                if error.details.get("status") in FINAL:
                    self.close()
                    return
            delay = _FIRST_DELAY_SECONDS if self._has_spoken else delay
            self._ending.wait(delay * (0.5 + jitter()))
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    def _follow(self, patience: float) -> TrustWardenError | None:
        """Tells what one stream says, and gives why it ended; None where that was told."""
        is_doubted = False
        try:
            call = self._watched.open_call()
            with self._lock:
                self._call = call
            if self._ending.is_set():
                call.close()
            for message in call.messages():
                is_doubted = not self._take(message)
                call.expect_more_within(patience if is_doubted else None)
        except TrustWardenError as error:
            # An endpoint that says nothing more behind a message that was not believed has said nothing new.
            return None if is_doubted and "status" not in error.details else error
        return None if is_doubted else fail("server_unreachable", {"status": "0"})

    def _take(self, message: bytes) -> bool:
        """Whether the message was believed."""
        try:
            state = self._watched.read(message)
        except TrustWardenError as error:
            if not self._ending.is_set():
                tell(self._watched.on_error, error)
            return False
        self._has_spoken = True
        if not self._ending.is_set():
            tell(self._watched.on_state, state)
        return True


def tell(listener: Callable[[T], None], news: T) -> None:
    """A listener that fails ends no watch: whoever listens must hear of the next state all the same."""
    try:
        listener(news)
    except Exception as error:
        notify("internal", "A listener of a Workload API watch failed.", {"reason": type(error).__name__})
