"""The latest checkpoint of the ledger that this process has verified: what an intent names as `seen`.

An intent cannot be older than the checkpoint it names, since nobody could have known that root before. Reading a new
one happens behind the work, never in its way; a log that shrinks or shows another root for one size is reported at once
and never adopted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from . import scheduler
from ._bytes import encode_base64
from ._json import JsonObject
from .errors import TrustWardenError, fail
from .notes import Checkpoint
from .runtime import monotonic, notify
from .shards import is_shard_successor

_MIN_REFRESH_SECONDS = 5.0
"""A public route, asked by every process: not more often than this."""


class LatestCheckpoint:
    """Holds the newest verified checkpoint; its size never falls, and an older shard never follows a newer one."""

    def __init__(self, read: Callable[[], str], verify: Callable[[str], Checkpoint]) -> None:
        self._read = read
        self._verify = verify
        self._lock = threading.Lock()
        self._latest: Checkpoint | None = None
        self._refreshed_at = float("-inf")

    def seen(self) -> JsonObject | None:
        """As an intent names it, None before the first one is known. Starts a refresh when it has grown old."""
        with self._lock:
            latest = self._latest
            is_old = monotonic() - self._refreshed_at >= _MIN_REFRESH_SECONDS
            if is_old:
                self._refreshed_at = monotonic()
        if is_old:
            scheduler.soon(self._refresh)
        if latest is None:
            return None
        return {"origin": latest.origin, "size": latest.size, "root": encode_base64(latest.root)}

    def _refresh(self) -> None:
        try:
            self.adopt(self._verify(self._read()))
        except Exception as error:
            code = error.code if isinstance(error, TrustWardenError) else "internal"
            notify(code, "The ledger's checkpoint could not be read.")

    def adopt(self, following: Checkpoint) -> None:
        """Takes over a newer one. Raises `checkpoint_untrusted` for a log that contradicts itself."""
        with self._lock:
            latest = self._latest
            if latest is not None and following.origin != latest.origin:
                # A size says nothing about another tree; shards only follow one another.
                if not is_shard_successor(latest.origin, following.origin):
                    raise fail("checkpoint_untrusted", {"reason": "an earlier shard"})
                self._latest = following
                return
            if latest is not None and following.size == latest.size and following.root != latest.root:
                raise fail("checkpoint_untrusted", {"reason": "two roots for one size", "size": following.size})
            if latest is not None and following.size < latest.size:
                raise fail("checkpoint_untrusted", {"reason": "the log shrank", "size": following.size})
            self._latest = following
