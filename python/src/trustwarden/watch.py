"""Hears of a changed authority in time: one small question a server, a process, every 15 seconds.

Agents hold no lease, so nobody tells them. However many identities of one server live in a process, one asks for all.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from . import scheduler
from .errors import TrustWardenError
from .runtime import jitter, notify

if TYPE_CHECKING:
    from .server import TrustServer

_POLL_SECONDS = 15.0
"""A forced rotation reaches every live agent within a minute: one question, one renewal, and two tries for each."""
_RETRY_SECONDS = 4.0
"""After a question that found no server: one lost packet must not cost another whole round."""


class AuthorityWatch:
    """Owns the one timer of a server, which does not keep the process alive."""

    def __init__(self, server: TrustServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._timer: scheduler.Timer | None = None
        self._is_on = False
        self._failures = 0

    def start(self) -> None:
        """Asks from now on."""
        with self._lock:
            if self._is_on:
                return
            self._is_on = True
            self._schedule()

    def stop(self) -> None:
        """Asks no more."""
        with self._lock:
            self._is_on = False
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _schedule(self) -> None:
        wait = _POLL_SECONDS if self._failures == 0 else min(_POLL_SECONDS, _RETRY_SECONDS * 2 ** (self._failures - 1))
        # Up to a quarter earlier or later: a thousand processes of one start must not ask at once.
        self._timer = scheduler.after(wait * (0.75 + 0.5 * jitter()), self._ask)

    def _ask(self) -> None:
        if not self._is_on:
            return
        try:
            self._server.refresh()
            self._failures = 0
        except Exception as error:
            self._failures = min(self._failures + 1, 16)
            if self._is_on:
                code = error.code if isinstance(error, TrustWardenError) else "internal"
                notify(code, "The authority could not be read again.")
        with self._lock:
            if self._is_on:
                self._schedule()
