"""How long a lease waits: for a connection that is silent, for a place that does not answer, and before it comes again.

Whoever gives a lease and has too much to do is helped by nobody who leaves: a new connection costs it as much as a
hundred beats. So a silent connection is left after a while that is another one for each verifier, beats become rarer
while nobody answers them, and whatever was in vain makes all of it longer. None of this decides whether anything is
allowed: without an echo the lease runs out by itself. See docs/decisions/0100.
"""

from __future__ import annotations

from collections.abc import Callable

from .frames import BEAT_MS, LEASE_MS

_BEAT_SECONDS = BEAT_MS / 1000
_LEASE_SECONDS = LEASE_MS / 1000
_SILENCE_SECONDS = 2 * _LEASE_SECONDS
"""Silence for which a connection is left: from this to twice as long."""
_UNANSWERED_BEATS = 3
"""At least: a process that was suspended has sent none."""
_UPGRADE_SECONDS = 5.0
_MAX_DOUBLINGS = 3
_FIRST_RETRY_SECONDS = 0.1
"""The first retry comes soon, since the lease of before may still bridge it."""
_MAX_RETRY_SECONDS = 2.0
_MAX_RETRY_AFTER_SECONDS = 60
"""Whatever a server asks for, nobody waits longer than this and as much again, drawn by each for itself."""
_CALM_SECONDS = 10.0
"""Without trouble for so long, everything is as in the beginning."""
_MAX_PROBE_SECONDS = 4.0


class LeasePatience:
    """Knows what went wrong lately. Times are monotonic seconds; `jitter` is from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._trouble_at = float("-inf")
        self._heard_at = 0.0
        self._unanswered = 0
        self._over_at = 0.0
        self._silence = _SILENCE_SECONDS

    @property
    def upgrade_seconds(self) -> float:
        """How long one try may take."""
        return _UPGRADE_SECONDS * self._factor

    def begin(self, now: float) -> None:
        """A connection begins."""
        self._heard_at = now
        self._unanswered = 0
        self._draw(now)

    def hear(self, now: float) -> bool:
        """Something came; whether it came so late that there may be no lease any more."""
        is_late = now - self._heard_at >= _LEASE_SECONDS
        self._heard_at = now
        self._unanswered = 0
        self._over_at = now + self._silence
        if is_late:
            self._trouble_at = now
        elif self._failures > 0 and now - self._trouble_at >= _CALM_SECONDS:
            self._failures = 0
            self._draw(now)
        return is_late

    def beat(self) -> None:
        """It is time for a beat."""
        self._unanswered += 1

    def next_beat_seconds(self, now: float) -> float:
        """Until the next beat."""
        silent = now - self._heard_at
        return _BEAT_SECONDS if silent < _LEASE_SECONDS else max(_BEAT_SECONDS, min(silent / 4, _MAX_PROBE_SECONDS))

    def is_over(self, now: float) -> bool:
        """Whether the connection is silent for so long that it is left."""
        return now >= self._over_at and self._unanswered >= _UNANSWERED_BEATS

    def fail(self, now: float, asked_for: float = 0) -> float:
        """A connection ended, or a try for one; how long to wait before the next. `asked_for` by the server."""
        ceiling = min(_FIRST_RETRY_SECONDS * 2**self._failures, _MAX_RETRY_SECONDS)
        self._failures = min(self._failures + 1, 16)
        self._trouble_at = now
        self._draw(now)
        asked = min(asked_for, _MAX_RETRY_AFTER_SECONDS)
        return asked + max(ceiling, asked) * self._jitter()

    @property
    def _factor(self) -> int:
        return 2 ** min(self._failures, _MAX_DOUBLINGS)

    def _draw(self, now: float) -> None:
        self._silence = _SILENCE_SECONDS * self._factor * (1 + self._jitter())
        self._over_at = now + self._silence
