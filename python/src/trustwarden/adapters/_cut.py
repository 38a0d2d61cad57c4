"""Ends the body of a tool whose agent is stopped: cancelled where the runtime lets it, its result refused everywhere.

A coroutine of asyncio is cancelled at its next await. A thread cannot be ended from outside: its connections to
services are closed, and what it gives back afterwards is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

import anyio

from ..errors import fail
from ._agent_run import AgentRun, RunEnded

T = TypeVar("T")


class Cut:
    """Around one body. Begun and ended in the task, or on the thread, that runs it."""

    def __init__(self, run: AgentRun) -> None:
        self._run = run
        self._unwatch: Callable[[], None] | None = None
        self._scope: anyio.CancelScope | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False

    def begin(self) -> None:
        """Only refuses the result; also for a coroutine that gives parts, whose caller runs in the same task."""
        self._unwatch = self._run.identity.when_stopped(self._stop)

    def begin_scope(self) -> None:
        """Cancels too; the body is one that the same task leaves before it goes on with anything else."""
        with contextlib.suppress(RuntimeError):
            # Another runtime than asyncio: there only the result is refused.
            self._loop = asyncio.get_running_loop()
        if self._loop is not None:
            self._scope = anyio.CancelScope()
            self._scope.__enter__()
        self.begin()

    def end(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> RunEnded | None:
        """What ends the run, when its agent was stopped meanwhile; not when whoever called is being cancelled too."""
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()
        scope, self._scope = self._scope, None
        is_taken = scope is not None and bool(scope.__exit__(kind, error, trace))
        # Whatever is no `Exception` is somebody else's: a cancellation of any runtime, an interrupt.
        is_cancelled = error is not None and not isinstance(error, Exception) and not is_taken
        if not self._is_stopped or is_cancelled:
            return None
        return RunEnded(fail("identity_revoked", {"reason": "stopped during the call"}), self._run)

    async def around(self, body: Callable[[], Awaitable[T]]) -> T:
        """Runs a body whose decision and outcome are told elsewhere. Raises `RunEnded` when it was cut."""
        self.begin_scope()
        try:
            result = await body()
        except BaseException as error:
            ended = self.end(type(error), error, error.__traceback__)
            if ended is None:
                raise
            raise ended from error
        ended = self.end(None, None, None)
        if ended is not None:
            raise ended
        return result

    def _stop(self) -> None:
        self._is_stopped = True
        scope, loop = self._scope, self._loop
        if scope is not None and loop is not None:
            # A loop that is closed runs no body any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(scope.cancel)


class Interruptible:
    """One wait at a time that another thread may end; under another runtime than asyncio it is not ended."""

    def __init__(self) -> None:
        self._scope: anyio.CancelScope | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_interrupted = False

    async def run(self, body: Callable[[], Awaitable[T]]) -> T | None:
        """What the body gives; nothing when it was ended, or when that was said before."""
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self._scope = scope
            if self._is_interrupted:
                return None
            return await body()
        return None

    def interrupt(self) -> None:
        """Ends the wait, on its own loop; every later one ends at once."""
        self._is_interrupted = True
        scope, loop = self._scope, self._loop
        if scope is not None and loop is not None:
            # A loop that is closed waits for nothing any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(scope.cancel)
