"""AutoGen: `protect(agent_or_team, identity)` gives it, and each agent of its team or behind its tools, an identity.

The objects stay what they were: tools are guarded where their function is called (`run`), workbenches of other kinds
where they are asked (`call_tool`), agents where they are given messages. A refusal is a tool result with `is_error`.
AutoGen has no pause in front of a tool, so a call that waits for a human waits, `approval_timeout` seconds at most.

An agent that runs code out of messages, and a team on a runtime of the program's own, cannot be guarded here.
"""

from __future__ import annotations

import contextvars
import copy
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from typing import Any, TypeVar, cast

try:
    from autogen_agentchat.agents import BaseChatAgent, CodeExecutorAgent
    from autogen_agentchat.base import Handoff
    from autogen_agentchat.teams import BaseGroupChat
    from autogen_core.tools import (
        BaseStreamTool,
        BaseTool,
        FunctionTool,
        StaticWorkbench,
        TextResultContent,
        ToolResult,
        Workbench,
    )
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError("trustwarden.adapters.autogen needs AutoGen: pip install 'trustwarden[autogen]'") from error

from ..errors import fail
from ..identity import AgentIdentity
from ._agent_run import AgentSpec, RunEnded, acting_as, current_identity, current_run
from ._core import Guard, Refused
from ._discover import Expand, reachable
from ._mapping import ActionOf, ToolAction, Unmapped
from ._turns import Turn, adecided, current_turn, noting_end, turn_body

__all__ = ["ToolAction", "acting_as", "current_identity", "protect"]

Protected = TypeVar("Protected", bound="BaseChatAgent | BaseGroupChat")
_GUARD = "__trustwarden_guard__"
_HANDOFFS = frozenset({"_handoff_tools", "_handoffs"})
"""They only say a name; what the next agent does is decided."""


def protect(
    root: Protected,
    identity: AgentIdentity | None = None,
    *,
    actions: Mapping[str, ActionOf] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    unmapped: Unmapped = "use",
    ttl: str | None = None,
    approval_timeout: float = 60.0,
) -> Protected:
    """Guards an agent or a team, and every agent that it reaches. Returns the same object.

    `identity` is the agent's own, or the team's; each turn of a member is a child of it. Without one it can only run
    inside another protected agent, or under `acting_as`. `actions` says which action each tool is
    (`"read:file:{path}"`, or a function of the arguments); a tool without a row is `use:tool:<name>`, or refused with
    `unmapped="deny"`. `scopes` says what a sub-agent may do, by its name; otherwise what its tools need. `ttl` is the
    lifetime of a sub-agent; it ends with its turn in any case. `approval_timeout` is how long a call waits for the
    owner's signed answer, in seconds.

    Raises `ValueError` for what is guarded already, a name that two agents share, or what cannot be guarded here; and
    `scope_malformed`.
    """
    guard = Guard(
        identity, actions=actions, scopes=scopes, unmapped=unmapped, ttl=ttl, approval_timeout=approval_timeout
    )
    found = list(_reachable(root))
    _require_guardable(found)
    agents = [each for each in found if isinstance(each, BaseChatAgent)]
    specs = {id(each): _spec_of(each, guard, scopes or {}) for each in agents if each is not root and _has_tools(each)}
    root_spec = guard.root_spec_of(root.name, _tools_of(root))
    specs[id(root)] = root_spec
    for each in found:
        if isinstance(each, BaseChatAgent):
            _guard_agent(each, guard, specs.get(id(each)))
        elif isinstance(each, BaseGroupChat):
            _guard_team(each, guard, root_spec)
        elif isinstance(each, BaseTool):
            _guard_tool(cast("BaseTool[Any, Any]", each), guard)
        elif isinstance(each, Workbench):
            _guard_workbench(each, guard)
    return root


def _require_guardable(found: Sequence[object]) -> None:
    agents = [each for each in found if isinstance(each, BaseChatAgent)]
    names = [agent.name for agent in agents]
    for agent in agents:
        if names.count(agent.name) > 1:
            raise ValueError(f"two agents are called '{agent.name}'; give each a name of its own")
        if isinstance(agent, CodeExecutorAgent):
            raise ValueError(f"'{agent.name}' runs code out of messages, and nobody here could decide about that")
        for handoff in cast("dict[str, Handoff]", getattr(agent, "_handoffs", {})).values():
            if type(handoff).handoff_tool is not Handoff.handoff_tool:
                raise ValueError(f"the handoff '{handoff.name}' of '{agent.name}' has a tool of its own")
    for each in found:
        if getattr(type(each), _GUARD, None) is not None:
            raise ValueError(f"'{getattr(each, 'name', type(each).__name__)}' is protected already")
        if isinstance(each, BaseGroupChat) and not each._embedded_runtime:  # pyright: ignore[reportPrivateUsage]
            raise ValueError(f"the team '{each.name}' runs on a runtime of yours, where its caller is not known")
        if isinstance(each, BaseTool) and not _ends_in_run(cast("BaseTool[Any, Any]", each)):
            name = cast("BaseTool[Any, Any]", each).name
            raise ValueError(f"the tool '{name}' answers run_json by itself; let it answer run")
        if isinstance(each, StaticWorkbench) and not all(_is_tool(tool) for tool in _tools_in(each)):
            raise ValueError("a workbench holds a tool that is no BaseTool")
        if _is_opaque(cast("object", each)) and hasattr(cast("object", each), "call_tool_stream"):
            raise ValueError(
                f"{type(cast('object', each)).__name__} streams tools of its own, which cannot be guarded here"
            )


def _is_tool(value: object) -> bool:
    return isinstance(value, BaseTool)


def _ends_in_run(tool: BaseTool[Any, Any]) -> bool:
    kind, streaming = cast("Any", type(tool)), cast("Any", BaseStreamTool)
    streams = streaming.run_json_stream
    return kind.run_json is cast("Any", BaseTool).run_json and getattr(kind, "run_json_stream", streams) is streams


def _spec_of(agent: BaseChatAgent, guard: Guard, scopes: Mapping[str, Sequence[str]]) -> AgentSpec:
    if agent.name not in scopes and any(_is_opaque(each) for each in _reachable(agent)):
        raise ValueError(f"the tools of '{agent.name}' are known only while it runs; name its scope in scopes=")
    return guard.spec_of(agent.name, _tools_of(agent))


def _tools_of(root: object) -> list[str]:
    return [cast("BaseTool[Any, Any]", each).name for each in _reachable(root) if isinstance(each, BaseTool)]


def _has_tools(agent: BaseChatAgent) -> bool:
    """Whether it does anything itself; one that only talks, or only passes on, needs no identity."""

    def own(value: object) -> Iterator[object] | None:
        is_other = isinstance(value, (BaseChatAgent, BaseGroupChat)) and value is not agent
        return iter(()) if is_other else _expand(value)

    return any(isinstance(each, BaseTool) or _is_opaque(each) for each in _reachable(agent, own))


def _is_opaque(value: object) -> bool:
    return isinstance(value, Workbench) and not isinstance(value, StaticWorkbench)


def _tools_in(workbench: StaticWorkbench) -> list[BaseTool[Any, Any]]:
    return workbench._tools  # pyright: ignore[reportPrivateUsage]


def _expand(value: object) -> Iterator[object] | None:
    if isinstance(value, (BaseChatAgent, BaseGroupChat, BaseTool, Workbench)):
        members = vars(cast("object", value))
        return iter([member for name, member in members.items() if name not in _HANDOFFS])
    return None


def _reachable(root: object, expand: Expand = _expand) -> Iterator[object]:
    return reachable(root, expand, packages=("autogen_agentchat", "autogen_core", "autogen_ext"))


async def _stepped(
    stream: AsyncGenerator[Any], step: Callable[[], AbstractContextManager[object]]
) -> AsyncGenerator[Any]:
    """The items of a stream, each made inside of a step, so that the consumer's context stays its own."""
    async with aclosing(stream):
        while True:
            with step():
                try:
                    item = await anext(stream)
                except StopAsyncIteration:
                    return
            yield item


def _subclass(value: object, guard: Guard, members: Mapping[str, object]) -> None:
    original = type(value)
    value.__class__ = type(
        original.__name__, (original,), {**members, _GUARD: guard, "__module__": original.__module__}
    )


def _guard_agent(agent: BaseChatAgent, guard: Guard, spec: AgentSpec | None) -> None:
    """Every way to run an agent ends in one of these two, and each of them may end in the other."""
    original = type(agent)
    if spec is None:
        _subclass(agent, guard, {})
        return
    mine = spec

    async def opened(self: object) -> Turn:
        return Turn(self, await guard.aopen(mine))

    async def on_messages(self: Any, messages: Any, cancellation_token: Any) -> Any:
        turn = current_turn()
        if turn is not None and turn.agent is self:
            return await original.on_messages(self, messages, cancellation_token)
        turn = await opened(self)
        try:
            with turn.step():
                response = await original.on_messages(self, messages, cancellation_token)
            turn.check()
            return response
        finally:
            await guard.aclose(mine, turn.run)

    async def on_messages_stream(self: Any, messages: Any, cancellation_token: Any) -> AsyncGenerator[Any]:
        outer = current_turn()
        turn = outer if outer is not None and outer.agent is self else await opened(self)
        try:
            inner = cast("AsyncGenerator[Any]", original.on_messages_stream(self, messages, cancellation_token))
            async with aclosing(_stepped(inner, turn.step)) as items:
                async for item in items:
                    turn.check()
                    yield item
        finally:
            if turn is not outer:
                await guard.aclose(mine, turn.run)

    _subclass(agent, guard, {"on_messages": on_messages, "on_messages_stream": on_messages_stream})


def _guard_team(team: BaseGroupChat, guard: Guard, root: AgentSpec) -> None:
    """The team that was protected is who its members are children of; one inside of another agent is that agent's."""
    original = type(team)

    async def run_stream(self: Any, **options: Any) -> AsyncGenerator[Any]:
        run = current_run() or await guard.aopen(root)
        inner = cast("AsyncGenerator[Any]", original.run_stream(self, **options))
        async with aclosing(_stepped(inner, run.step)) as items:
            async for item in items:
                yield item

    _subclass(team, guard, {"run_stream": run_stream})


def _guard_tool(tool: BaseTool[Any, Any], guard: Guard) -> None:
    """`run_json` and `run_json_stream` end in `run` and `run_stream`, with the validated arguments."""
    original = type(tool)

    async def run(self: Any, args: Any, cancellation_token: Any) -> Any:
        with noting_end():
            async with await adecided(guard, self.name, dict(args)):
                with turn_body(guard, self.name):
                    return await original.run(_in_context(self), args, cancellation_token)

    async def run_stream(self: Any, args: Any, cancellation_token: Any) -> AsyncGenerator[Any]:
        with noting_end():
            call = await adecided(guard, self.name, dict(args))
            async with call.in_parts():
                inner = cast("Any", original).run_stream(self, args, cancellation_token)
                async with aclosing(_stepped(inner, lambda: turn_body(guard, self.name))) as items:
                    async for item in items:
                        yield item

    members: dict[str, object] = {"run": run}
    if issubclass(original, BaseStreamTool):
        members["run_stream"] = run_stream
    _subclass(tool, guard, members)


def _in_context(tool: BaseTool[Any, Any]) -> BaseTool[Any, Any]:
    """AutoGen calls a plain function in a bare thread; here it takes along who is acting."""
    function = cast("Callable[..., Any] | None", getattr(tool, "_func", None))
    if not isinstance(tool, FunctionTool) or function is None or inspect.iscoroutinefunction(function):
        return tool
    called = copy.copy(tool)
    called._func = functools.partial(contextvars.copy_context().run, function)  # pyright: ignore[reportPrivateUsage]
    return called


def _guard_workbench(workbench: Workbench, guard: Guard) -> None:
    original = type(workbench)

    async def call_tool(self: Any, name: str, arguments: Any = None, *rest: Any, **options: Any) -> Any:
        try:
            with noting_end():
                async with await adecided(guard, name, dict(arguments or {})) as call:
                    with turn_body(guard, name):
                        return call.answered(await original.call_tool(self, name, arguments, *rest, **options))
        except Refused as refused:
            return _error_of(name, refused)
        except RunEnded as ended:
            if current_turn() is None:
                raise
            # An agent would wait for ever for a workbench that raises; its turn ends when it has this result.
            return _error_of(name, ended)

    async def call_guarded(self: Any, name: str, *rest: Any, **options: Any) -> Any:
        if (late := _came_late(self, name)) is not None:
            return late
        return await original.call_tool(self, name, *rest, **options)

    async def stream_guarded(self: Any, name: str, *rest: Any, **options: Any) -> AsyncGenerator[Any]:
        if (late := _came_late(self, name)) is not None:
            yield late
            return
        async with aclosing(cast("Any", original).call_tool_stream(self, name, *rest, **options)) as items:
            async for item in items:
                yield item

    if not isinstance(workbench, StaticWorkbench):
        _subclass(workbench, guard, {"call_tool": call_tool})
        return
    members: dict[str, object] = {"call_tool": call_guarded}
    if hasattr(original, "call_tool_stream"):
        members["call_tool_stream"] = stream_guarded
    _subclass(workbench, guard, members)


def _error_of(tool: str, error: Exception) -> ToolResult:
    return ToolResult(name=tool, result=[TextResultContent(content=str(error))], is_error=True)


def _came_late(workbench: StaticWorkbench, tool: str) -> ToolResult | None:
    """The refusal of a workbench into which somebody put an unguarded tool."""
    if all(getattr(type(each), _GUARD, None) is not None for each in _tools_in(workbench)):
        return None
    return _error_of(tool, Refused(fail("denied", {"reason": "a tool came after protect()"}), tool))
