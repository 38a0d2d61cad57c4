"""One agent at work: which run is current, and as whom its code acts.

Which run is current travels in a context variable, so tasks and the executors of frameworks inherit it; a bare thread
has none, and there every guarded tool is refused: nothing acts as somebody else by accident.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from ..errors import TrustWardenError
from ..identity import AgentIdentity
from ._approvals import Questions


@dataclass(frozen=True)
class AgentSpec:
    """What a sub-agent is to be when it runs."""

    name: str
    scope: tuple[str, ...]


@dataclass(eq=False)
class AgentRun:
    """One agent at work."""

    identity: AgentIdentity
    parent: AgentRun | None
    is_owned: bool
    """Whether the identity was made for this run and ends with it."""
    is_direct: bool = False
    """Whether the program said by `acting_as` whom its own calls are for."""
    questions: Questions = field(default_factory=Questions)
    waiting_children: set[AgentRun] = field(default_factory=set["AgentRun"])

    @property
    def is_waiting(self) -> bool:
        """Whether this run, or one below it, waits for a human and will go on."""
        return bool(self.questions) or bool(self.waiting_children)

    @contextmanager
    def step(self) -> Generator[AgentRun]:
        """Makes this run the current one for a stretch of code that does not yield to its caller."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


class RunEnded(TrustWardenError):  # noqa: N818 - as `Refused` and `Waiting`
    """The identity of a run is over: revoked, expired or closed. No other call would fare better."""

    def __init__(self, error: TrustWardenError, run: AgentRun) -> None:
        super().__init__(error.code, error.details)
        self.run = run


_current: ContextVar[AgentRun | None] = ContextVar("trustwarden_agent_run", default=None)


def current_run() -> AgentRun | None:
    """The run that this code is part of."""
    return _current.get()


def current_identity() -> AgentIdentity | None:
    """The identity of the agent that this code works for; a tool may `fetch` with it."""
    run = _current.get()
    return None if run is None else run.identity


@contextmanager
def acting_as(identity: AgentIdentity) -> Generator[AgentIdentity]:
    """Lets code outside of any run call guarded tools, as this agent: a thread of your own, a test, a script."""
    with AgentRun(identity, _current.get(), is_owned=False, is_direct=True).step():
        yield identity
