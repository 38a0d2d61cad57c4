"""Outcomes: what came of an action, signed by whoever saw it, and kept until the server has confirmed it.

The decision is already durable, so a lost outcome hides nothing that was done; it leaves an open end that the ledger
shows. The spool keeps trying, in memory, and when it is full nothing new is done at all.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from . import scheduler
from .dsse import issue_envelope
from .errors import TrustWardenError, fail
from .keys import InstanceKey
from .receipts import Receipt
from .runtime import format_time, jitter, notify, now_ms
from .server import ServerCall, TrustServer, encode_body
from .transport import Pool

Status = Literal["success", "failure", "aborted"]

_MAX_WAITING = 1024
"""About 1 MiB of envelopes."""
_FIRST_RETRY_SECONDS = 0.25
_MAX_RETRY_SECONDS = 10.0
_FINAL_STATUSES = (400, 401, 403, 409, 413)
"""Refusals that no repetition changes."""


def issue_outcome(
    receipt: Receipt, status: Status, key: InstanceKey, keyid: str, *, size: int = 0, seconds: float = 0.0
) -> str:
    """The outcome's envelope. `size` is bytes of the answer, `keyid` the base64url SHA-256 of the signer's SVID."""
    payload = {
        "v": 1,
        "event_id": receipt.event_id,
        "intent_sha256": receipt.intent_sha256,
        "decision_index": receipt.decision_index,
        "status": status,
        "result": None,
        "bytes": size,
        # Halves go up, as in the other SDK; Python's own rounding takes them to the even side.
        "duration_ms": max(0, math.floor(seconds * 1000 + 0.5)),
        "time": format_time(now_ms()),
    }
    return issue_envelope("outcome", payload, key.sign, keyid)


def send_outcomes(server: TrustServer, pool: Pool, outcomes: Sequence[str]) -> None:
    """Has the server record outcomes, all of them or none. Raises the server's refusal, `server_unreachable`."""
    server.call(ServerCall("POST", "/v1/outcomes", encode_body({"outcomes": list(outcomes)})), pool)


class OutcomeSpool:
    """Sends outcomes, now if possible and later if not. Sending the same text again is idempotent."""

    def __init__(self, send: Callable[[Sequence[str]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._draining = threading.Lock()
        self._waiting: deque[str] = deque()
        self._reserved = 0
        self._retry: scheduler.Timer | None = None
        self._failures = 0
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many outcomes are not confirmed."""
        return len(self._waiting)

    def reserve(self) -> Callable[[], None]:
        """Takes a place before anything is done; give it back with the answer. Raises `ledger_unavailable`."""
        with self._lock:
            if len(self._waiting) + self._reserved >= _MAX_WAITING:
                raise fail("ledger_unavailable", {"reason": "outcomes wait", "waiting": len(self._waiting)})
            self._reserved += 1
        return self._give_back

    def report(self, outcome: str) -> None:
        """Sends one outcome, or keeps it. Never raises: what fails is kept or reported."""
        try:
            self._send([outcome])
        except Exception as error:
            self._tell(error)
            if is_final(error):
                return
            with self._lock:
                self._waiting.append(outcome)
            self._schedule()

    def close(self) -> None:
        """Tries everything once more, oldest first, and gives up what is left, loudly."""
        self._is_closed = True
        with self._lock:
            timer, self._retry = self._retry, None
        if timer is not None:
            timer.cancel()
        self._drain()
        if self._waiting:
            notify("ledger_unavailable", "Outcomes could not be reported.", {"lost": len(self._waiting)})

    def _give_back(self) -> None:
        with self._lock:
            self._reserved -= 1

    def _schedule(self) -> None:
        with self._lock:
            if self._is_closed or self._retry is not None:
                return
            wait = min(_FIRST_RETRY_SECONDS * 2**self._failures, _MAX_RETRY_SECONDS) * (0.5 + jitter())
            self._failures = min(self._failures + 1, 16)
            self._retry = scheduler.after(wait, self._try_again)

    def _try_again(self) -> None:
        with self._lock:
            self._retry = None
        self._drain()
        if self._waiting:
            self._schedule()

    def _drain(self) -> None:
        # A second walk beside the first would drop what that is sending.
        with self._draining:
            while self._waiting:
                try:
                    self._send([self._waiting[0]])
                    self._failures = 0
                except Exception as error:
                    self._tell(error)
                    if not is_final(error):
                        return
                self._waiting.popleft()

    def _tell(self, error: Exception) -> None:
        code = error.code if isinstance(error, TrustWardenError) else "internal"
        details = {"waiting": len(self._waiting), "final": is_final(error)}
        notify(code, "An outcome could not be reported.", details)


def is_final(error: Exception) -> bool:
    """Whether the server answered and will answer the same again."""
    if not isinstance(error, TrustWardenError) or error.details.get("from") != "server":
        return False
    return error.details.get("status") in _FINAL_STATUSES
