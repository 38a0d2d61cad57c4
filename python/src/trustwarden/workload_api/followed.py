"""The latest state of one watch, for who needs it now rather than when it changes.

Owns the client of the watch, and the state: none until the first one came, and again from the moment the endpoint
withdrew it or ended the watch. A forked child has no watch, so nothing counts there either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..errors import TrustWardenError, fail
from ..runtime import notify, process_id
from .client import WorkloadApiClient
from .watch import FINAL, tell

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class SourceEvents:
    """How a source tells what happens behind it, on another thread."""

    on_change: Callable[[], None] | None = None
    """There is a state, another one, or none any more."""
    on_error: Callable[[TrustWardenError], None] | None = None
    """The stream was interrupted, or an answer was not believed; the source goes on with what it has."""


class OpenWatch(Protocol[T_co]):
    """Follows one stream of a client."""

    def __call__(
        self, on_state: Callable[[T_co], None], on_error: Callable[[TrustWardenError], None]
    ) -> Callable[[], None]:
        """What is given back ends it."""
        ...


class Followed(Generic[T]):
    """One watch with what it said last. Safe for threads."""

    def __init__(self, client: WorkloadApiClient, events: SourceEvents) -> None:
        self._client = client
        self._events = events
        self._pid = process_id()
        # Held for what is below; nobody is told anything under it.
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._state: list[T] = []
        self._lack = fail("server_unreachable", {"reason": "nothing was answered yet"})
        self._is_open = False
        self._is_closed = False

    def open(self, watch: OpenWatch[T], timeout: float) -> None:
        """Comes back with the first state; what could not be opened leaves no connection behind.

        Raises the last failure, when no state came in time or the endpoint does not take the call.
        """
        try:
            watch(self._take, self._hear)
            self._settled.wait(timeout)
            self.current()
            self._is_open = True
        except BaseException:
            self.close()
            raise

    def current(self) -> T:
        """Raises `no_identity`, `identity_closed`; what ended the watch, when the endpoint takes the call no more."""
        if process_id() != self._pid:
            raise fail("identity_closed", {"reason": "the process was forked"})
        with self._lock:
            if self._state:
                return self._state[0]
            lack = self._lack
        # A new one each time: one exception that many raise would keep the frames of all of them.
        raise fail(lack.code, lack.details)

    def close(self) -> None:
        """Ends the watch; from here on there is no state."""
        with self._lock:
            self._is_closed = True
            self._state, self._lack = [], fail("identity_closed")
        self._client.close()

    def _take(self, state: T) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._state = [state]
        self._settled.set()
        self._tell_change()

    def _hear(self, error: TrustWardenError) -> None:
        is_final = error.details.get("status") in FINAL
        # Silence withdraws nothing; the endpoint's own word does, and an end after which nobody would tell.
        is_gone = error.code == "no_identity" or is_final
        with self._lock:
            if self._is_closed:
                return
            if is_gone:
                self._state = []
            if not self._state:
                self._lack = error
        if is_final:
            self._settled.set()
        if not self._is_open:
            return
        if self._events.on_error is not None:
            tell(self._events.on_error, error)
        else:
            notify(error.code, "The Workload API was interrupted.", error.details)
        if is_gone:
            self._tell_change()

    def _tell_change(self) -> None:
        on_change = self._events.on_change
        if on_change is not None:
            tell(lambda _: on_change(), None)
