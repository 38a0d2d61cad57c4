"""LlamaIndex: `protect(agent, identity)` gives an agent, or each agent of an `AgentWorkflow`, an identity of its own.

Agents and workflows stay the objects they were; their tools are replaced by guarded copies, retrieved tools when they
are retrieved. A refusal is a `ToolOutput` with `is_error`, as LlamaIndex makes it of every error of a tool; a question
to a human is an `InputRequiredEvent`, answered by a `HumanResponseEvent` with the same `request`.

Handing over to another agent is a tool of LlamaIndex and decided like one: `use:tool:handoff` unless a row says more.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

try:
    from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent
    from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
    from llama_index.core.tools import AsyncBaseTool, BaseTool, FunctionTool, ToolOutput, adapt_to_async_tool
    from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
    from workflows.runtime.types.results import WaitingForEvent  # pyright: ignore[reportMissingTypeStubs]
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError(
        "trustwarden.adapters.llama_index needs LlamaIndex: pip install 'trustwarden[llama-index]'"
    ) from error

from ..errors import fail
from ..identity import AgentIdentity
from ._agent_run import AgentRun, AgentSpec, RunEnded, acting_as, current_identity, current_run
from ._approvals import Question
from ._core import Guard, Refused, ToolCall, Waiting, body_of
from ._discover import reachable
from ._mapping import ActionOf, ToolAction, Unmapped, to_params

__all__ = ["ToolAction", "acting_as", "current_identity", "protect"]

AnyWorkflow = TypeVar("AnyWorkflow", bound="BaseWorkflowAgent | AgentWorkflow")
_GUARD = "__trustwarden_guard__"
_APPROVAL_WAIT_SECONDS = 900.0
"""As long as a question waits for its owner."""


def protect(
    agent: AnyWorkflow,
    identity: AgentIdentity | None = None,
    *,
    actions: Mapping[str, ActionOf] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    unmapped: Unmapped = "use",
    ttl: str | None = None,
    approval_timeout: float = 60.0,
) -> AnyWorkflow:
    """Guards an agent or workflow and each agent it reaches: by handing over or inside a tool. Returns the same object.

    `identity` is the agent's own, or that of the workflow's root agent. Without one it can only run inside another
    protected agent, or under `acting_as`. `actions` says which action each tool is (`"read:file:{path}"`, or a function
    of the arguments); a tool without a row is `use:tool:<name>`, or refused with `unmapped="deny"`. `scopes` says what
    a sub-agent may do, by its name; otherwise what its tools need. `ttl` is the lifetime of a sub-agent; it ends with
    its run in any case. `approval_timeout` is how long a resumed call waits for the owner's signed answer, in seconds.

    Raises `ValueError` for an agent that is guarded already, shares its name or runs code of its own making; and
    `scope_malformed`.
    """
    guard = Guard(
        identity,
        actions=actions,
        scopes=scopes,
        unmapped=unmapped,
        ttl=ttl,
        approval_timeout=approval_timeout,
        pauses=(WaitingForEvent,),
    )
    found = list(_reachable(agent))
    agents = [value for value in found if isinstance(value, BaseWorkflowAgent)]
    workflows = [value for value in found if isinstance(value, AgentWorkflow)]
    _require_guardable([*agents, *workflows])
    root = _root_of(agent)
    specs = {each.name: _spec_of(each, guard, workflows, is_root=each is root) for each in agents}
    for each in agents:
        _guard_agent(each, guard, specs[each.name], specs[root.name])
    for workflow in workflows:
        _guard_workflow(workflow, guard, specs, specs[root.name])
    return agent


def _root_of(agent: BaseWorkflowAgent | AgentWorkflow) -> BaseWorkflowAgent:
    return agent.agents[agent.root_agent] if isinstance(agent, AgentWorkflow) else agent


def _require_guardable(found: Sequence[BaseWorkflowAgent | AgentWorkflow]) -> None:
    names = [each.name for each in found if isinstance(each, BaseWorkflowAgent)]
    for each in found:
        if getattr(type(each), _GUARD, None) is not None:
            raise ValueError("an agent is protected already")
        if isinstance(each, CodeActAgent):
            raise ValueError(
                f"'{each.name}' runs code that calls tools without anybody in between; it cannot be guarded"
            )
        if isinstance(each, BaseWorkflowAgent) and names.count(each.name) > 1:
            raise ValueError(f"two agents are called '{each.name}'; give each a name of its own")


def _spec_of(agent: BaseWorkflowAgent, guard: Guard, workflows: Sequence[AgentWorkflow], *, is_root: bool) -> AgentSpec:
    tools = [tool.metadata.get_name() for tool in _reachable(agent) if isinstance(tool, BaseTool)]
    hands_over = any(len(workflow.agents) > 1 and agent.name in workflow.agents for workflow in workflows)
    told = guard.root_spec_of if is_root else guard.spec_of
    return told(agent.name, [*tools, *(["handoff"] if hands_over else [])])


def _tools_of(agent: BaseWorkflowAgent) -> list[BaseTool]:
    """LlamaIndex has made tools of all plain functions when it made the agent."""
    found = cast("list[object]", agent.tools or [])  # pyright: ignore[reportUnknownMemberType]
    return [tool for tool in found if isinstance(tool, BaseTool)]


def _reachable(root: object) -> Iterator[object]:
    return reachable(root, _expand, packages=("llama_index", "workflows"))


def _expand(value: object) -> Iterator[object] | None:
    if isinstance(value, AgentWorkflow):
        return iter(value.agents.values())
    if isinstance(value, BaseWorkflowAgent):
        return iter(_tools_of(value))
    if isinstance(value, BaseTool):
        return iter(vars(value).values())
    return None


@dataclass(eq=False)
class _Record:
    """One run of a workflow: its agents so far, by name."""

    guard: Guard
    root: AgentSpec
    caller: AgentRun | None
    agents: dict[str, tuple[AgentSpec, AgentRun]] = field(default_factory=dict[str, "tuple[AgentSpec, AgentRun]"])
    latest: AgentRun | None = None
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find(self, spec: AgentSpec) -> AgentRun:
        """The run of this agent, started when it is not yet: as a child of the agent that was at work before it."""
        async with self.starting:
            known = self.agents.get(spec.name)
            if known is None:
                run = await self.guard.aopen_below(self.latest or self.caller, spec, self.root)
                known = (spec, run)
                self.agents[spec.name] = known
            self.latest = known[1]
            return known[1]

    async def close(self) -> None:
        """Ends the run's identities; once."""
        while self.agents:
            _, (spec, run) = self.agents.popitem()
            await self.guard.aclose(spec, run)


_record: ContextVar[_Record | None] = ContextVar("trustwarden_llama_record", default=None)
_step: ContextVar[Context[Any] | None] = ContextVar("trustwarden_llama_step", default=None)
_watching: set[asyncio.Task[None]] = set()
"""Held until they are done; the loop itself holds tasks weakly."""


def _guard_agent(agent: BaseWorkflowAgent, guard: Guard, spec: AgentSpec, root: AgentSpec) -> None:
    original = type(agent)

    async def take_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        """The identity exists before the agent says a word."""
        record = _record.get()
        if record is None:
            raise fail("agent_missing", {"reason": "an agent's step runs outside of a protected run"})
        await record.find(spec)
        return await original.take_step(self, *args, **kwargs)

    async def get_tools(self: Any, *args: Any, **kwargs: Any) -> Sequence[AsyncBaseTool]:
        return [_guarded(tool, guard, spec) for tool in await original.get_tools(self, *args, **kwargs)]

    agent.tools = [_guarded(tool, guard, spec) for tool in _tools_of(agent)]
    _swap(agent, guard, {**_running(original, guard, root), "take_step": take_step, "get_tools": get_tools})


def _guard_workflow(workflow: AgentWorkflow, guard: Guard, specs: Mapping[str, AgentSpec], root: AgentSpec) -> None:
    original = type(workflow)

    async def get_tools(self: Any, agent_name: str, *args: Any, **kwargs: Any) -> Sequence[AsyncBaseTool]:
        tools = await original.get_tools(self, agent_name, *args, **kwargs)
        return [_guarded(tool, guard, specs[agent_name]) for tool in tools]

    _swap(workflow, guard, {**_running(original, guard, root), "get_tools": get_tools})


def _running(original: Any, guard: Guard, root: AgentSpec) -> dict[str, object]:
    """Where a run starts and where its tools are called."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        record = _Record(guard, root, current_run())
        token = _record.set(record)
        try:
            handler = original.run(self, *args, **kwargs)
        finally:
            _record.reset(token)
        task = asyncio.ensure_future(_end_with(handler, record))
        _watching.add(task)
        task.add_done_callback(_watching.discard)
        return handler

    async def _call_tool(self: Any, ctx: Context[Any], tool: AsyncBaseTool, tool_input: dict[str, Any]) -> ToolOutput:
        token = _step.set(ctx)
        try:
            output = cast("ToolOutput", await original._call_tool(self, ctx, tool, tool_input))
        finally:
            _step.reset(token)
        if isinstance(output.exception, RunEnded):
            # Not this call but the agent is refused; no error of a tool, and no reason to go on.
            raise output.exception
        return output

    return {"run": run, "_call_tool": _call_tool}


async def _end_with(handler: Any, record: _Record) -> None:
    try:
        await handler
    except BaseException:  # noqa: S110 - it is told to whoever awaits the run; here only its end matters
        pass
    finally:
        await record.close()


def _swap(value: object, guard: Guard, members: Mapping[str, object]) -> None:
    original: Any = type(value)
    namespace = {**members, "__module__": original.__module__, "__qualname__": original.__qualname__}
    metaclass: Any = cast("Any", type(original))
    guarded = metaclass(original.__name__, (original,), namespace)
    setattr(guarded, _GUARD, guard)
    object.__setattr__(value, "__class__", guarded)


def _guarded(tool: BaseTool, guard: Guard, spec: AgentSpec) -> AsyncBaseTool:
    if getattr(type(tool), _GUARD, None) is not None:
        return cast("AsyncBaseTool", tool)
    guarded = copy.copy(adapt_to_async_tool(tool))
    original = type(guarded)

    def call(self: Any, *args: Any, **kwargs: Any) -> ToolOutput:
        name = self.metadata.get_name()
        seen = _visible(self, args, kwargs)
        run = _known_run(spec) or current_run()
        if run is None:
            raise Refused(fail("agent_missing", {"reason": "see acting_as()"}), name)
        with run.step(), _told(guard, name, seen) as told, body_of(guard, name):
            return told.answered(original.call(self, *args, **kwargs))

    async def acall(self: Any, *args: Any, **kwargs: Any) -> ToolOutput:
        name = self.metadata.get_name()
        record = _record.get()
        run = current_run() if record is None else await record.find(spec)
        if run is None:
            raise Refused(fail("agent_missing", {"reason": "see acting_as()"}), name)
        with run.step():
            async with await _decided(guard, name, _visible(self, args, kwargs)) as told:
                with body_of(guard, name):
                    return told.answered(await original.acall(self, *args, **kwargs))

    _swap(guarded, guard, {"call": call, "acall": acall})
    return guarded


def _known_run(spec: AgentSpec) -> AgentRun | None:
    record = _record.get()
    known = None if record is None else record.agents.get(spec.name)
    return None if known is None else known[1]


def _told(guard: Guard, name: str, args: Mapping[str, object]) -> ToolCall:
    """A call whose decision is yes; without a workflow to pause, a question is a refusal."""
    try:
        return guard.call(name, args, _key_of(name, args)).decided()
    except Waiting as waiting:
        raise _unanswered(waiting.question) from waiting


async def _decided(guard: Guard, name: str, args: Mapping[str, object]) -> ToolCall:
    """A call whose decision is yes; pauses the workflow as long as a human has to be asked."""
    key = _key_of(name, args)
    run = current_run()
    question = None if run is None else run.questions.find(key)
    if question is None:
        try:
            return await guard.call(name, args, key).adecided()
        except Waiting as waiting:
            question = waiting.question
    ctx = _step.get()
    if ctx is None or run is None:
        raise _unanswered(question)
    answer = await ctx.wait_for_event(
        HumanResponseEvent,
        waiter_event=InputRequiredEvent(**question.payload()),
        waiter_id=f"trustwarden-{question.request}",
        requirements={"request": question.request},
        timeout=_APPROVAL_WAIT_SECONDS,
    )
    if answer.get("approved", default=True) is False:
        run.questions.drop(key)
        raise Refused(fail("approval_denied", {"request": question.request}), name)
    return await guard.call(name, args, key).adecided()


def _unanswered(question: Question) -> Refused:
    return Refused(fail("approval_required", {"request": question.request}), question.tool)


def _key_of(name: str, args: Mapping[str, object]) -> str:
    """LlamaIndex gives a tool no id of its call, so the same call is the same question."""
    return hashlib.sha256(json.dumps([name, to_params(args)], sort_keys=True).encode()).hexdigest()


def _visible(tool: AsyncBaseTool, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, object]:
    """What the tool is called with, and what is filled in for it as far as it is plain; not the workflow's context."""
    filled: dict[str, object] = {}
    if isinstance(tool, FunctionTool):
        defaults = cast("dict[str, object]", {**vars(tool).get("_field_defaults", {}), **tool.partial_params})
        filled = {key: value for key, value in defaults.items() if isinstance(value, (str, int, float, bool))}
    given = {key: value for key, value in kwargs.items() if not isinstance(value, Context)}
    return {**{f"arg{index}": value for index, value in enumerate(args)}, **filled, **given}
