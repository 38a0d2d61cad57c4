"""OpenAI Agents SDK: `protect(agent, identity)` gives an agent, its handoffs and its agents-as-tools an identity each.

The agents stay the objects they were; their tools are replaced by guarded copies, and so are the tools of their MCP
servers, whenever they are listed. A refusal is the tool's output, as the SDK's own tool errors are; a question to a
human is an interruption (`result.interruptions`), resumed by `state.approve(...)`. What runs elsewhere, at the model's
vendor, cannot be decided here and is refused: give such an agent the gateway instead.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

try:
    from agents import Agent, AgentHooks, FunctionTool, Handoff, RunContextWrapper, Tool
    from agents.tool import (
        maybe_invoke_function_tool_failure_error_function,
        set_function_tool_failure_error_function,
    )
    from agents.tool_context import ToolContext
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError(
        "trustwarden.adapters.openai_agents needs the OpenAI Agents SDK: pip install 'trustwarden[openai-agents]'"
    ) from error

from ..errors import fail
from ..identity import AgentIdentity
from ._agent_run import AgentRun, AgentSpec, RunEnded, acting_as, current_identity
from ._approvals import Question
from ._core import Guard, Refused, ToolCall, Waiting, body_of
from ._discover import reachable
from ._mapping import ActionOf, ToolAction, Unmapped
from ._openai_answers import note_answers_of, noting_answers
from ._openai_runs import Runs, inside_call

__all__ = ["Question", "ToolAction", "acting_as", "current_identity", "protect", "question_of"]

AnyAgent = TypeVar("AnyAgent", bound="Agent[Any]")
_FRESH_SECONDS = 0.7
"""A decision is worth one lease, counted from asking; what was decided before the call is asked again after that."""
_RUNS = "__trustwarden_runs__"


def protect(
    agent: AnyAgent,
    identity: AgentIdentity | None = None,
    *,
    actions: Mapping[str, ActionOf] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    unmapped: Unmapped = "use",
    ttl: str | None = None,
    approval_timeout: float = 60.0,
) -> AnyAgent:
    """Guards an agent and every agent it reaches: by handoff, as a tool, or inside a tool. Returns the same object.

    `identity` is the agent's own. Without one it can only run inside another protected agent, or under `acting_as`.
    `actions` says which action each tool is (`"read:file:{path}"`, or a function of the arguments); a tool without a
    row is `use:tool:<name>`, or refused with `unmapped="deny"`. `scopes` says what a sub-agent may do, by its name;
    otherwise what its tools need. `ttl` is the lifetime of a sub-agent; it ends with its run in any case.
    `approval_timeout` is how long a resumed call waits for the owner's signed answer, in seconds.

    Raises `ValueError` for an agent that is guarded already, a name that two agents share, or a tool that runs
    elsewhere; and `scope_malformed`.
    """
    guard = Guard(
        identity, actions=actions, scopes=scopes, unmapped=unmapped, ttl=ttl, approval_timeout=approval_timeout
    )
    agents = [cast("Agent[Any]", found) for found in _reachable(agent) if isinstance(found, Agent)]
    runs = Runs(guard, guard.root_spec_of(agent.name, _tools_of(agent)))
    specs = {id(found): guard.spec_of(found.name, _tools_of(found)) for found in agents if found is not agent}
    specs[id(agent)] = runs.root
    _require_guardable(agents)
    for found in agents:
        _guard_agent(found, runs, specs[id(found)])
    return agent


def question_of(agent: Agent[Any], call_id: str) -> Question | None:
    """What the owner is asked about a call of `result.interruptions`: `item.raw_item.call_id` names it.

    None for a call that waits by its own rule (`needs_approval`) and not by a policy's.
    """
    runs = cast("Runs | None", getattr(type(agent), _RUNS, None))
    return None if runs is None else runs.question(call_id)


def _require_guardable(agents: Sequence[Agent[Any]]) -> None:
    names = [agent.name for agent in agents]
    for agent in agents:
        if names.count(agent.name) > 1:
            raise ValueError(f"two agents are called '{agent.name}'; give each a name of its own")
        if getattr(type(agent), _RUNS, None) is not None:
            raise ValueError(f"the agent '{agent.name}' is protected already")
        for tool in agent.tools:
            _require_local(tool)


def _require_local(tool: Tool) -> FunctionTool:
    if not isinstance(tool, FunctionTool):
        raise ValueError(f"'{tool.name}' does not run as a function of this process and cannot be guarded here")
    return tool


def _tools_of(agent: Agent[Any]) -> list[str]:
    return [found.name for found in _reachable(agent) if isinstance(found, FunctionTool)]


def _reachable(root: object) -> Iterator[object]:
    return reachable(root, _expand, packages=("agents",))


def _expand(value: object) -> Iterator[object] | None:
    if isinstance(value, Agent):
        agent = cast("Agent[Any]", value)
        return iter([*agent.tools, *agent.handoffs])
    if isinstance(value, (FunctionTool, Handoff)):
        return iter(vars(cast("object", value)).values())
    if isinstance(value, weakref.ref):
        return iter([cast("weakref.ref[object]", value)()])
    # The SDK's own callable around a function.
    invoked = getattr(value, "_invoke_tool_impl", None)
    return None if invoked is None else iter([invoked])


def _guard_agent(agent: Agent[Any], runs: Runs, spec: AgentSpec) -> None:
    original = type(agent)

    async def get_all_tools(self: Any, run_context: RunContextWrapper[Any]) -> list[Tool]:
        """Lists what the model is offered; the agent's run begins here, before it has said a word."""
        await runs.find(spec, run_context)
        return [_guarded(tool, runs, spec) for tool in await original.get_all_tools(self, run_context)]

    for server in agent.mcp_servers:
        note_answers_of(server)
    agent.tools = [_guarded(tool, runs, spec) for tool in agent.tools]
    agent.hooks = _hooks(agent.hooks, runs)
    members = {"get_all_tools": get_all_tools, _RUNS: runs, "__module__": original.__module__}
    agent.__class__ = type(original.__name__, (original,), members)


def _hooks(inner: AgentHooks[Any] | None, runs: Runs) -> AgentHooks[Any]:
    """The agent's own hooks, which also end the run's identities with its result."""
    hooks = copy.copy(inner) if inner is not None else AgentHooks[Any]()
    original = type(hooks)

    async def on_end(self: Any, context: Any, agent: Any, output: Any) -> None:
        await original.on_end(self, context, agent, output)
        await runs.end(context)

    hooks.__class__ = type(original.__name__, (original,), {"on_end": on_end, "__module__": original.__module__})
    return hooks


def _guarded(tool: Tool, runs: Runs, spec: AgentSpec) -> Tool:
    local = _require_local(tool)
    if isinstance(local.on_invoke_tool, _GuardedInvoker):
        return local
    guarded = copy.copy(local)
    guard = _ToolGuard(local, runs, spec)
    guarded.needs_approval = guard.needs_approval
    guarded.on_invoke_tool = _GuardedInvoker(guard)
    return guarded


class _GuardedInvoker:
    """The only way into a guarded tool."""

    def __init__(self, guard: _ToolGuard) -> None:
        self._guard = guard

    async def __call__(self, ctx: ToolContext[Any], input: str) -> Any:
        return await self._guard.invoke(ctx, input)


class _ToolGuard:
    """One tool of one agent.

    The SDK asks about approval before it calls, so that is where the decision is made; the call then finds it. What was
    decided and never called, because another call paused the turn, is reported as aborted.
    """

    def __init__(self, tool: FunctionTool, runs: Runs, spec: AgentSpec) -> None:
        self._tool = tool
        # The SDK makes a text of a tool's error inside of the call; an outcome has to be told from a failure first.
        self._raising = set_function_tool_failure_error_function(copy.copy(tool), None)
        self._runs = runs
        self._spec = spec
        self._ready: dict[tuple[int, str], tuple[ToolCall | Refused, float]] = {}

    async def needs_approval(self, context: RunContextWrapper[Any], args: dict[str, Any], call_id: str) -> bool:
        """Whether a human has to be asked: by the tool's own rule, or by the policy."""
        own = self._tool.needs_approval
        if own is True or (callable(own) and await own(context, args, call_id)):
            return True
        run = await self._runs.of_call(self._spec, context, call_id, self._tool.name)
        asked_at = time.monotonic()
        with run.step():
            try:
                call = await self._runs.guard.call(self._tool.name, args, call_id).adecided()
            except Waiting:
                return True
            except Refused as refused:
                # Told to the model when it is called.
                call = refused
        self._ready[(id(run), call_id)] = (call, asked_at)
        asyncio.get_running_loop().call_later(_FRESH_SECONDS, self._drop, run, call_id)
        return False

    async def invoke(self, context: ToolContext[Any], text: str) -> Any:
        """Calls the tool, or says why not."""
        try:
            run = await self._runs.of_call(self._spec, context, context.tool_call_id, self._tool.name)
            with run.step():
                return await self._called(run, context, text)
        except Refused as refused:
            return str(refused)
        except RunEnded:
            raise
        except Exception as error:
            return await self._told(context, error)

    async def _called(self, run: AgentRun, context: ToolContext[Any], text: str) -> Any:
        inside = object()
        token = inside_call.set(inside)
        try:
            async with await self._decided(run, context.tool_call_id, text) as call:
                with body_of(self._runs.guard, self._tool.name), noting_answers(call):
                    return await self._raising.on_invoke_tool(context, text)
        finally:
            inside_call.reset(token)
            await self._runs.end_inside(inside)

    async def _told(self, context: ToolContext[Any], error: Exception) -> Any:
        """What the SDK makes of the error of a tool that it made; that of any other one stays an error."""
        if getattr(self._tool.on_invoke_tool, "_invoke_tool_impl", None) is None:
            raise error
        told = await maybe_invoke_function_tool_failure_error_function(
            function_tool=self._tool, context=context, error=error
        )
        if told is None:
            raise error
        return told

    async def _decided(self, run: AgentRun, call_id: str, text: str) -> ToolCall:
        found, asked_at = self._ready.pop((id(run), call_id), (None, 0.0))
        if isinstance(found, Refused):
            raise found
        if found is not None:
            if time.monotonic() - asked_at < _FRESH_SECONDS:
                return found
            await _abort(found)
        args = _arguments(text)
        try:
            return await self._runs.guard.call(self._tool.name, args, call_id).adecided()
        except Waiting:
            # Approved in a process that has gone: the owner is asked again, and waited for.
            return await self._runs.guard.call(self._tool.name, args, call_id).adecided()

    def _drop(self, run: AgentRun, call_id: str) -> None:
        found, _ = self._ready.pop((id(run), call_id), (None, 0.0))
        if isinstance(found, ToolCall):
            task = asyncio.ensure_future(_abort(found))
            _aborting.add(task)
            task.add_done_callback(_aborting.discard)


_aborting: set[asyncio.Future[None]] = set()
"""Held until they are done; the loop itself holds tasks weakly."""


async def _abort(call: ToolCall) -> None:
    """Reports that what was allowed did not happen."""
    error = fail("call_aborted", {"reason": "the call was decided and not made"})
    await call.__aexit__(type(error), error, None)


def _arguments(text: str) -> dict[str, object]:
    parsed: object = json.loads(text) if text.strip() else {}
    if not isinstance(parsed, dict):
        raise Refused(fail("json_malformed"), "the arguments of this call")
    return cast("dict[str, object]", parsed)
