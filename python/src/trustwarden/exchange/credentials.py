"""One provider's credential for one agent: asked for when it is needed, kept until shortly before its end.

Asked for once however many wait. Nothing is kept on disk. The provider verifies the token by our discovery document;
see `docs/guides/workload-identity-federation.md`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from .._threads import in_thread
from ..errors import fail
from ..runtime import now_seconds, process_id

_RENEW_BEFORE_SECONDS = 60
"""A credential is renewed this long before its end, so that a request that begins with it also ends with it."""


class TokenSource(Protocol):
    """Who gives the token: an `AgentIdentity` is one."""

    def jwt(self, audience: str) -> str:
        """A JWT-SVID for exactly one audience."""
        ...


class Expiring(Protocol):
    """Something that ends."""

    @property
    def expires_at(self) -> int:
        """Unix seconds."""
        ...


T = TypeVar("T", bound=Expiring)


class ProviderCredentials(Generic[T]):
    """Credentials of one provider for one agent. Safe for threads."""

    def __init__(self, agent: TokenSource, audience: str, exchange: Callable[[str, int], T]) -> None:
        """For this package; see `aws_credentials` and its siblings."""
        self._agent = agent
        self._audience = audience
        self._exchange = exchange
        self._lock = threading.Lock()
        self._current: T | None = None
        self._pending: Future[T] | None = None
        self._pid = process_id()

    def get(self) -> T:
        """The credential of the moment.

        Raises `exchange_refused`, `exchange_malformed`, `exchange_unreachable`, and what the agent's `jwt` raises;
        `identity_closed` in a forked child, whose parent's credential it is.
        """
        if process_id() != self._pid:
            raise fail("identity_closed", {"reason": "the process was forked"})
        with self._lock:
            current, pending = self._current, self._pending
            if current is not None and now_seconds() < current.expires_at - _RENEW_BEFORE_SECONDS:
                return current
            mine: Future[T] | None = None
            if pending is None:
                self._pending = pending = mine = Future()
        if mine is not None:
            self._renew(mine)
        return pending.result()

    async def aget(self) -> T:
        """As `get`, off the event loop."""
        return await in_thread(self.get)

    def forget(self) -> None:
        """Forgets it, after the provider has refused it or to let go of it."""
        with self._lock:
            self._current = None

    def _renew(self, pending: Future[T]) -> None:
        try:
            renewed = self._exchange(self._agent.jwt(self._audience), now_seconds())
        except BaseException as cause:
            with self._lock:
                self._pending = None
            # What ends this thread alone, such as an interrupt, is no answer for the others.
            is_failure = isinstance(cause, Exception)
            pending.set_exception(cause if is_failure else fail("exchange_unreachable", {"reason": "interrupted"}))
            raise
        with self._lock:
            self._current, self._pending = renewed, None
        pending.set_result(renewed)
