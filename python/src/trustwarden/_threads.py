"""The asynchronous half: every wait happens in a worker thread, so that there is one path and not two.

What an intent has begun is brought to its end also when its caller is cancelled; what then came is given back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
from anyio import to_thread

T = TypeVar("T")


async def in_thread(call: Callable[[], T], discard: Callable[[T], object] | None = None) -> T:
    """Runs a call off the event loop, of asyncio or trio.

    `discard` gets the result when nobody waits for it any more.
    """
    job = _Job(call, discard)
    try:
        return await to_thread.run_sync(job.run)
    except BaseException:
        leftover = job.abandon()
        if leftover is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(leftover)
        raise


async def in_leavable_thread(
    call: Callable[[], T], leave: Callable[[], object], discard: Callable[[T], object] | None = None
) -> T:
    """As `in_thread`, for a call that waits for a human: a cancelled caller goes at once; `leave` tells the call."""
    job = _Job(call, discard)
    try:
        return await to_thread.run_sync(job.run, abandon_on_cancel=True)
    except BaseException:
        leave()
        leftover = job.abandon()
        if leftover is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(leftover)
        raise


class _Job(Generic[T]):
    """Owns the question who takes the result: the caller, or nobody."""

    def __init__(self, call: Callable[[], T], discard: Callable[[T], object] | None) -> None:
        self._call = call
        self._discard = discard
        self._lock = threading.Lock()
        self._result: list[T] = []
        self._is_abandoned = False

    def run(self) -> T:
        result = self._call()
        with self._lock:
            is_abandoned = self._is_abandoned
            self._result.append(result)
        if is_abandoned and self._discard is not None:
            self._discard(result)
        return result

    def abandon(self) -> Callable[[], object] | None:
        with self._lock:
            self._is_abandoned = True
            results, discard = self._result, self._discard
        if not results or discard is None:
            return None
        return lambda: discard(results[0])
