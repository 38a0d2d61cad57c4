"""The visits whose answers are still going out, and their end when they may no longer go on.

A decision is good for one act, but an answer may stream for hours. So each is asked again, as often as the lease is
renewed, whether the lease still holds and nobody of its chain was touched; the first "no" ends it for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import fail
from ..runtime import monotonic
from .visit import Cut

_INTERVAL_SECONDS = 0.2
"""As often as the lease is renewed: a lease that ends is noticed within one of its own lives."""
_CLOSE_SECONDS = 5.0
"""For the reports of visits that are cut at the end."""


class LiveVisits:
    """Owns the open visits and the one thread that looks at them, which runs while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._visits: dict[Cut, Callable[[], None]] = {}
        self._is_looking = False
        # From before the decision to after the report.
        self._unreported = 0

    def enter(self) -> None:
        """One visit more whose end is to be reported."""
        with self._changed:
            self._unreported += 1

    def leave(self) -> None:
        """Its end is reported."""
        with self._changed:
            self._unreported -= 1
            self._changed.notify_all()

    def watch(self, cut: Cut, require_live: Callable[[], None]) -> None:
        """Watches one visit until `forget`; `require_live` raises when it must not go on."""
        with self._changed:
            self._visits[cut] = require_live
            if not self._is_looking:
                self._is_looking = True
                threading.Thread(target=self._look, name="trustwarden-visits", daemon=True).start()

    def forget(self, cut: Cut) -> None:
        """Ends the watch."""
        with self._changed:
            self._visits.pop(cut, None)

    def close(self) -> None:
        """Ends every visit and waits for the reports of their ends, but not for work that does not come to one."""
        with self._changed:
            visits = list(self._visits)
            self._visits.clear()
        for cut in visits:
            cut.cut(fail("identity_closed"))
        ends_at = monotonic() + _CLOSE_SECONDS
        with self._changed:
            self._changed.wait_for(lambda: self._unreported <= 0, max(ends_at - monotonic(), 0))

    def _look(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_INTERVAL_SECONDS)
            with self._changed:
                visits = list(self._visits.items())
                if not visits:
                    self._is_looking = False
                    return
            for cut, require_live in visits:
                try:
                    require_live()
                except Exception as error:
                    # Whatever it was, it is not known to be allowed any more.
                    self.forget(cut)
                    cut.cut(error)
