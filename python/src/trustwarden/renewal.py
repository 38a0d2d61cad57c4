"""Keeps an instance's credential fresh: a new key and SVID at half life at the latest, long before the old one ends.

An SVID that cannot be renewed is used until it ends and not a second longer; every failed try is reported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from . import scheduler
from .credential import Credential
from .errors import TrustWardenError, fail
from .runtime import jitter, notify, now_seconds, process_id

_MIN_RETRY_SECONDS = 1.0
_MAX_RETRY_SECONDS = 30.0

# A server is away for five minutes, and the next try comes within half a minute.
_OUTAGE_SECONDS = 330


class SvidHolder:
    """Owns the current credential and the timer of its renewal. Safe for threads, of no use to a forked child."""

    def __init__(self, first: Credential, renew: Callable[[Credential], Credential], instance_expires_at: int) -> None:
        self._credential = first
        self._renew = renew
        self._instance_expires_at = instance_expires_at
        self._pid = process_id()
        self._lock = threading.Lock()
        self._renewing = threading.Lock()
        self._timer: scheduler.Timer | None = None
        self._is_closed = False
        self._is_asked = False
        self._spread = 0.0
        self._schedule_when_due()

    def current(self) -> Credential:
        """The credential to act with now. Raises `identity_closed`, `identity_expired`."""
        # A forked child has the key in its memory: it must not act as its parent by accident.
        if process_id() != self._pid:
            raise fail("identity_closed", {"reason": "the process was forked"})
        if self._is_closed:
            raise fail("identity_closed")
        credential = self._credential
        if now_seconds() >= credential.expires_at:
            raise fail("identity_expired", {"expires_at": credential.expires_at})
        return credential

    @property
    def latest(self) -> Credential:
        """The credential at hand, also when it has ended."""
        return self._credential

    def renew(self) -> None:
        """Renews now, or waits for the renewal under way. Raises the server's refusal."""
        before = self._credential
        with self._renewing:
            # Whoever waited for another's renewal has what it came for.
            if self._credential is before:
                self._renew_once()

    def renew_soon(self, spread: float) -> None:
        """Renews within `spread` seconds without anybody waiting: a thousand that hear it at once come one by one."""
        with self._lock:
            if self._is_asked or self._is_closed:
                return
            self._is_asked, self._spread = True, spread
        self._schedule_in(spread * jitter())

    def close(self) -> None:
        """Lets go of the key."""
        self._is_closed = True
        self._cancel()
        self._credential.retire()

    def _renew_once(self) -> None:
        self._cancel()
        following = self._renew(self.current())
        if self._is_closed:
            following.retire()
            return
        before, self._credential = self._credential, following
        before.retire()
        self._is_asked = False
        self._schedule_when_due()

    def _schedule_when_due(self) -> None:
        expires_at = self._credential.expires_at
        # An SVID that lasts as long as its instance is the last one.
        if expires_at < self._instance_expires_at:
            # Early by up to a tenth, so that a thousand instances of one start do not come back at once.
            self._schedule_in(_renewal_age(expires_at - now_seconds()) * (1 - 0.1 * jitter()))

    def _schedule_in(self, seconds: float) -> None:
        self._cancel()
        if not self._is_closed:
            self._timer = scheduler.after(seconds, self._renew_in_background)

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _renew_in_background(self) -> None:
        try:
            self.renew()
        except Exception as error:
            if self._is_closed:
                return
            code = error.code if isinstance(error, TrustWardenError) else "internal"
            credential = self._credential
            notify(code, "An SVID could not be renewed.", {"id": credential.svid.id})
            left = credential.expires_at - now_seconds()
            if left > 0:
                self._schedule_in(self._retry_seconds(left))

    def _retry_seconds(self, left: float) -> float:
        if self._is_asked:
            return _MIN_RETRY_SECONDS + self._spread * jitter()
        return min(max(left / 4, _MIN_RETRY_SECONDS), _MAX_RETRY_SECONDS)


def _renewal_age(life: float) -> float:
    """The age at which an SVID is due: half of its life, or sooner where a short outage would outlast what is left."""
    return max(min(life / 2, life - _OUTAGE_SECONDS), life / 3)
