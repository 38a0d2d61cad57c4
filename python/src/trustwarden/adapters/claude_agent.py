"""Anthropic's Claude Agent SDK: `protect(client, identity)` gives the agent and each of its sub-agents an identity.

The SDK's program runs the tools; it asks its hooks before each call and tells them after, and the guard is those hooks.
A hook that fails blocks the call. A refusal is the SDK's own denial, which the model reads; a call that waits for a
human goes through `can_use_tool`. What the guard allows the SDK's own permission rules may still refuse.

Tools that the API itself runs are not seen by hooks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

try:
    from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, Message
    from claude_agent_sdk import query as _query
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError(
        "trustwarden.adapters.claude_agent needs the Claude Agent SDK: pip install 'trustwarden[claude-agent]'"
    ) from error

from ..identity import AgentIdentity
from ._agent_run import acting_as, current_identity
from ._claude_session import GuardedSession
from ._core import Guard
from ._mapping import ActionOf, ToolAction, Unmapped

__all__ = ["ToolAction", "acting_as", "current_identity", "protect", "query"]

Client = TypeVar("Client", bound=ClaudeSDKClient)
_GUARD = "__trustwarden_guard__"


def protect(
    client: Client,
    identity: AgentIdentity | None = None,
    *,
    actions: Mapping[str, ActionOf] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    unmapped: Unmapped = "use",
    ttl: str | None = None,
    approval_timeout: float = 60.0,
    name: str = "agent",
) -> Client:
    """Guards a client that is not connected yet. Returns the same object.

    `identity` is the agent's own; one run lasts from `connect` to `disconnect`. Without one it can only run inside
    another protected agent, or under `acting_as`. `actions` says which action each tool is (`"run:shell"`, or a
    function of the arguments), by the SDK's name of it (`Bash`, `mcp__files__read`); a tool without a row is
    `use:tool:<name>`, or refused with `unmapped="deny"`. `scopes` says what a sub-agent may do, by its type (or by
    `name`, should this agent be one); otherwise what the tools of its definition need. One of a type without either is
    refused every tool. `ttl` is the lifetime of a sub-agent; it ends with its run in any case. `approval_timeout` is
    how long a call waits for the owner's signed answer, in seconds.

    Raises `ValueError` for a client that is guarded already or is connected; and `scope_malformed`.
    """
    if getattr(type(client), _GUARD, None) is not None:
        raise ValueError("the client is protected already")
    if getattr(client, "_query", None) is not None:
        raise ValueError("the client is connected already; protect it first")
    guard = Guard(
        identity, actions=actions, scopes=scopes, unmapped=unmapped, ttl=ttl, approval_timeout=approval_timeout
    )
    session = GuardedSession(guard, client.options, name, scopes or {})
    _guard_client(client, session)
    return client


async def query(
    *,
    prompt: str | AsyncIterable[dict[str, Any]],
    options: ClaudeAgentOptions | None = None,
    identity: AgentIdentity | None = None,
    actions: Mapping[str, ActionOf] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    unmapped: Unmapped = "use",
    ttl: str | None = None,
    approval_timeout: float = 60.0,
    name: str = "agent",
) -> AsyncGenerator[Message]:
    """The SDK's `query`, guarded: the messages of one run. What is said of `protect` is true of it."""
    guard = Guard(
        identity, actions=actions, scopes=scopes, unmapped=unmapped, ttl=ttl, approval_timeout=approval_timeout
    )
    given = options or ClaudeAgentOptions()
    session = GuardedSession(guard, given, name, scopes or {})
    await session.open()
    try:
        messages = cast("AsyncGenerator[Message]", _query(prompt=prompt, options=session.options_over(given)))
        async with aclosing(session.each_of(messages)) as read:
            async for message in read:
                yield message
    finally:
        await session.close()


def _guard_client(client: ClaudeSDKClient, session: GuardedSession) -> None:
    """A run begins with the connection, and every message of it is looked at."""
    original = cast("Any", type(client))
    given = client.options

    async def connect(self: Any, *args: Any, **options: Any) -> None:
        await session.open()
        try:
            self.options = session.options_over(given)
            await original.connect(self, *args, **options)
        except BaseException:
            await session.close()
            raise

    async def receive_messages(self: Any) -> AsyncGenerator[Any]:
        async with aclosing(session.each_of(original.receive_messages(self))) as messages:
            async for message in messages:
                yield message

    async def disconnect(self: Any) -> None:
        try:
            await original.disconnect(self)
        finally:
            await session.close()

    members = {"connect": connect, "receive_messages": receive_messages, "disconnect": disconnect}
    named = {"__module__": original.__module__, _GUARD: session}
    client.__class__ = type(original.__name__, (original,), {**members, **named})
