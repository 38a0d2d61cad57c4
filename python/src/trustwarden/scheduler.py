"""What happens behind the callers' backs: one clock thread and a few workers for all identities of a process.

Daemon threads, so that they never keep a process alive; a forked child begins with none.
"""

from __future__ import annotations

import heapq
import itertools
import os
import queue
import threading
from collections.abc import Callable

from .runtime import monotonic

_MAX_WORKERS = 8
"""Enough to fill the time that a renewal waits for the server's disk; a thousand at once would only crowd it."""


class Timer:
    """A task that waits for its time."""

    __slots__ = ("at", "is_cancelled", "task")

    def __init__(self, at: float, task: Callable[[], None]) -> None:
        self.at = at
        self.task = task
        self.is_cancelled = False

    def cancel(self) -> None:
        """It will not begin any more; one that has begun goes on."""
        self.is_cancelled = True


class Scheduler:
    """Owns the timers and the threads. Tasks never raise: each reports its own failure."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._ready: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._workers = 0
        self._idle = 0
        self._has_clock = False

    def after(self, seconds: float, task: Callable[[], None]) -> Timer:
        """Runs a task later, on a worker."""
        timer = Timer(monotonic() + max(seconds, 0.0), task)
        with self._changed:
            heapq.heappush(self._timers, (timer.at, next(self._numbers), timer))
            if not self._has_clock:
                self._has_clock = True
                _start(self._tick, "trustwarden-clock")
            self._changed.notify()
        return timer

    def soon(self, task: Callable[[], None]) -> None:
        """Runs a task as soon as a worker is free."""
        with self._changed:
            self._ready.put(task)
            if self._ready.qsize() > self._idle and self._workers < _MAX_WORKERS:
                self._workers += 1
                _start(self._work, "trustwarden-worker")

    def _tick(self) -> None:
        while True:
            with self._changed:
                while not self._timers or self._timers[0][0] > monotonic():
                    wait = self._timers[0][0] - monotonic() if self._timers else None
                    self._changed.wait(wait)
                timer = heapq.heappop(self._timers)[2]
            if not timer.is_cancelled:
                self.soon(timer.task)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
            task = self._ready.get()
            with self._changed:
                self._idle -= 1
            task()
            del task


def _start(target: Callable[[], None], name: str) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()


class _Process:
    """The scheduler of this very process."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()

    def begin_anew(self) -> None:
        """Threads do not survive a fork; their locks may be held for ever."""
        self.scheduler = Scheduler()


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.begin_anew)


def after(seconds: float, task: Callable[[], None]) -> Timer:
    """Runs a task later, in the background of this process."""
    return _process.scheduler.after(seconds, task)


def soon(task: Callable[[], None]) -> None:
    """Runs a task in the background of this process."""
    _process.scheduler.soon(task)
