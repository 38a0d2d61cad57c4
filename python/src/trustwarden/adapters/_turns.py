"""Turns of an agent: for frameworks that make a tool's result of every error, and know no pause in front of a tool.

A turn remembers that the identity of its run is over, which the framework does not: the adapter ends the turn where the
framework lets it. A call that waits for a human waits, `approval_timeout` seconds at most.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import uuid4

from ._agent_run import AgentRun, RunEnded
from ._core import Guard, ToolCall, Waiting, body_of


@dataclass(eq=False)
class Turn:
    """One turn of an agent: from what it is asked to its answer."""

    agent: object
    run: AgentRun
    ended: RunEnded | None = None
    """The framework makes a tool's result of every error; this one ends the turn all the same."""

    @contextmanager
    def step(self) -> Generator[None]:
        """Makes this turn and its run the current ones."""
        token = _turn.set(self)
        try:
            with self.run.step():
                yield
        finally:
            _turn.reset(token)

    def check(self) -> None:
        """Raises what ended the identity of this turn, if anything did."""
        if self.ended is not None:
            raise self.ended


_turn: ContextVar[Turn | None] = ContextVar("trustwarden_turn", default=None)


def current_turn() -> Turn | None:
    """The turn that this code is part of; none inside of a tool's body."""
    return _turn.get()


@contextmanager
def noting_end() -> Generator[None]:
    """Around a tool call: the turn remembers the end of its own identity."""
    try:
        yield
    except RunEnded as error:
        note_end(error)
        raise


def note_end(error: RunEnded) -> None:
    """Has the turn remember the end of its own identity."""
    turn = _turn.get()
    if turn is not None and turn.run is error.run:
        turn.ended = error


@contextmanager
def turn_body(guard: Guard, tool: str) -> Generator[None]:
    """Around a tool's body: an agent that is called there has a turn of its own."""
    token = _turn.set(None)
    try:
        with body_of(guard, tool):
            yield
    finally:
        _turn.reset(token)


def decided(guard: Guard, tool: str, args: Mapping[str, object]) -> ToolCall:
    """Asks, and waits for the owner where the policy says so. Raises as `ToolCall.decided`."""
    key = uuid4().hex
    try:
        return guard.call(tool, args, key).decided()
    except Waiting:
        return guard.call(tool, args, key).decided()


async def adecided(guard: Guard, tool: str, args: Mapping[str, object]) -> ToolCall:
    """As `decided`, off the event loop."""
    key = uuid4().hex
    try:
        return await guard.call(tool, args, key).adecided()
    except Waiting:
        return await guard.call(tool, args, key).adecided()
