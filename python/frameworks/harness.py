"""What the contract's tests speak of: an agent as it is meant, a framework that makes it, and what came of a run.

A `Definition` says what agent is meant; a `Harness` makes it in its framework and tells in one form what came of a run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from trustwarden import AgentIdentity
from trustwarden.adapters._agent_run import current_identity

ACTIONS = {
    "read_file": "read:file:{path}",
    "write_file": "write:file:{path}",
    "send_mail": "send:mail:{to}",
    "delete_file": "delete:file:{path}",
}
SCOPE = ["read:file", "write:file:notes", "send:mail", "use:tool", "write:reports"]


@dataclass(frozen=True)
class Call:
    """One tool call of the fake model."""

    tool: str
    args: Mapping[str, Any]
    id: str


Turn = Sequence[Call] | str
"""What the model says: tool calls, or its last word."""


@dataclass
class Definition:
    """An agent; each of `subs` is offered to it as a tool `ask_<name>(question)`."""

    name: str
    turns: Sequence[Turn]
    tools: Sequence[Callable[..., Any]] = ()
    subs: Sequence[Definition] = ()


@dataclass
class Result:
    """What came of a run, or of a part of it."""

    results: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Text of each tool call's result by its id, and whether it is the framework's tool error."""
    final: str | None = None
    question: Mapping[str, Any] | None = None
    """Of the framework's own pause."""
    handle: Any = None


class Harness(ABC):
    """One framework."""

    modes: ClassVar[Sequence[str]] = ("sync", "async", "stream")
    refusal_is_marked: ClassVar[bool] = True
    """Whether the framework tells a tool's error from its output."""

    def named(self, tool: str) -> str:
        """As the framework calls it."""
        return tool

    @abstractmethod
    def make(self, definition: Definition) -> Any:
        """The framework's agent, unprotected."""

    @abstractmethod
    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        """The adapter's one line."""

    @abstractmethod
    def run(self, agent: Any, mode: str) -> Result:
        """Runs it until it ends or pauses."""

    def close(self) -> None:  # noqa: B027 - most keep nothing
        """Ends what the harness keeps."""


class PausingHarness(Harness):
    """A framework that pauses in front of a tool."""

    @abstractmethod
    def resume(self, agent: Any, paused: Result, *, approved: bool) -> Result:
        """Goes on, with the framework's own yes or no."""


class ToolHarness(Harness):
    """A framework whose tools are objects that anybody may call."""

    @abstractmethod
    def invoke(self, agent: Any, tool: str, args: Mapping[str, Any]) -> str:
        """The protected tool object itself, called by whoever holds it; raises, or returns its text."""


@dataclass
class Desk:
    """Tools that write down what they did, and who did it."""

    done: list[tuple[str, str]] = field(default_factory=list)
    """(SPIFFE ID, what)"""

    def note(self, what: str) -> str:
        identity = current_identity()
        self.done.append(("" if identity is None else identity.id, what))
        return f"did {what}"

    def tools(self) -> dict[str, Callable[..., Any]]:
        def read_file(path: str) -> str:
            """Reads a file."""
            return self.note(f"read {path}")

        def write_file(path: str, text: str = "nothing") -> str:
            """Writes a file."""
            return self.note(f"write {path}: {text}")

        def delete_file(path: str) -> str:
            """Deletes a file."""
            return self.note(f"delete {path}")

        def send_mail(to: str) -> str:
            """Sends mail."""
            return self.note(f"send {to}")

        def lookup(word: str) -> str:
            """Looks a word up."""
            return self.note(f"lookup {word}")

        def fail(word: str) -> str:
            """Fails."""
            raise ValueError(word)

        found = (read_file, write_file, delete_file, send_mail, lookup, fail)
        return {tool.__name__: tool for tool in found}

    def pick(self, *names: str) -> list[Callable[..., Any]]:
        tools = self.tools()
        return [tools[name] for name in names]

    @property
    def what(self) -> list[str]:
        return [what for _, what in self.done]


def reader(desk: Desk, *turns: Turn) -> Definition:
    return Definition("reader", turns, desk.pick("read_file"))
