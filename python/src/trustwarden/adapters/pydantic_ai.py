"""pydantic-ai: `protect(agent, identity)` gives an agent, and each agent that its tools hand work to, an identity.

The agent stays the object it was; each of its runs carries one capability more, which wraps the assembled toolset from
the inside, so that nothing changes the arguments after they were decided on. A refusal is `ToolFailed`, a question to a
human is `ApprovalRequired`: the run ends with `DeferredToolRequests` and goes on with `deferred_tool_results`.

Tools that the model's vendor runs, and realtime sessions, cannot be guarded here and are refused.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

try:
    from pydantic_ai import Agent, ApprovalRequired, RunContext, ToolFailed
    from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import ModelRequestContext
    from pydantic_ai.tools import DeferredToolResults, Tool, ToolDenied
    from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool, WrapperToolset
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError(
        "trustwarden.adapters.pydantic_ai needs pydantic-ai: pip install 'trustwarden[pydantic-ai]'"
    ) from error

from ..identity import AgentIdentity
from ._agent_run import AgentRun, AgentSpec, acting_as, current_identity
from ._core import Guard, Refused, Waiting, body_of
from ._discover import reachable
from ._mapping import ActionOf, ToolAction, Unmapped

__all__ = ["ToolAction", "acting_as", "current_identity", "protect"]

AnyAgent = TypeVar("AnyAgent", bound="Agent[Any, Any]")
_GUARD = "__trustwarden_guard__"


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
    """Guards an agent and every agent that its tools' functions name. Returns the same object.

    `identity` is the agent's own. Without one it can only run inside another protected agent, or under `acting_as`.
    `actions` says which action each tool is (`"read:file:{path}"`, or a function of the arguments); a tool without a
    row is `use:tool:<name>`, or refused with `unmapped="deny"`. `scopes` says what a sub-agent may do, by its name;
    otherwise what its tools need. `ttl` is the lifetime of a sub-agent; it ends with its run in any case.
    `approval_timeout` is how long a resumed call waits for the owner's signed answer, in seconds.

    Raises `ValueError` for an agent that is guarded already, has no name or shares it; and `scope_malformed`.
    """
    guard = Guard(
        identity,
        actions=actions,
        scopes=scopes,
        unmapped=unmapped,
        ttl=ttl,
        approval_timeout=approval_timeout,
        pauses=(ApprovalRequired,),
    )
    agents = [cast("Agent[Any, Any]", found) for found in _reachable(agent) if isinstance(found, Agent)]
    _require_named(agents)
    specs = {id(found): _spec_of(found, guard, scopes or {}) for found in agents if found is not agent}
    specs[id(agent)] = guard.root_spec_of(agent.name or "agent", _tools_of(agent))
    for found in agents:
        _guard_agent(found, guard, specs[id(found)])
    return agent


def _require_named(agents: Sequence[Agent[Any, Any]]) -> None:
    names = [agent.name for agent in agents]
    for agent in agents:
        if getattr(type(agent), _GUARD, None) is not None:
            raise ValueError(f"the agent '{agent.name}' is protected already")
        if agent.name is None or names.count(agent.name) > 1:
            raise ValueError(f"'{agent.name}' is not the name of one agent: Agent(..., name=...) gives each its own")


def _spec_of(agent: Agent[Any, Any], guard: Guard, scopes: Mapping[str, Sequence[str]]) -> AgentSpec:
    found = list(_reachable(agent))
    toolsets = [cast("AbstractToolset[Any]", value) for value in found if isinstance(value, AbstractToolset)]
    if any(_is_opaque(toolset) for toolset in toolsets) and agent.name not in scopes:
        raise ValueError(f"the tools of '{agent.name}' are known only while it runs; name its scope in scopes=")
    return guard.spec_of(agent.name or "agent", _tools_of(agent))


def _tools_of(agent: Agent[Any, Any]) -> list[str]:
    return [found.name for found in _reachable(agent) if isinstance(found, Tool)]


def _is_opaque(toolset: AbstractToolset[Any]) -> bool:
    """A toolset whose tools come from elsewhere, such as an MCP server."""
    leaves: list[AbstractToolset[Any]] = []
    toolset.apply(leaves.append)
    return any(not isinstance(leaf, FunctionToolset) for leaf in leaves)


def _reachable(root: object) -> Iterator[object]:
    return reachable(root, _expand, packages=("pydantic_ai",))


def _expand(value: object) -> Iterator[object] | None:
    if isinstance(value, Agent):
        return iter(cast("Agent[Any, Any]", value).toolsets)
    if isinstance(value, (AbstractToolset, Tool)):
        return iter(vars(cast("object", value)).values())
    return None


def _guard_agent(agent: Agent[Any, Any], guard: Guard, spec: AgentSpec) -> None:
    """Every way to run an agent ends in `iter`."""
    original = type(agent)

    @asynccontextmanager
    async def iter_(self: Any, *args: Any, **options: Any) -> AsyncGenerator[Any]:
        results = options.get("deferred_tool_results")
        run = _Guarding(guard, spec, _answers_of(results))
        options["capabilities"] = [*(options.get("capabilities") or ()), run]
        async with original.iter(self, *args, **options) as running:
            yield running

    def realtime(self: Any, *_: Any, **__: Any) -> Any:
        raise UserError("TrustWarden does not guard realtime sessions, so a protected agent has none")

    members = {"iter": iter_, "realtime": realtime, _GUARD: guard, "__module__": original.__module__}
    agent.__class__ = type(original.__name__, (original,), members)


def _answers_of(results: DeferredToolResults | None) -> dict[str, bool]:
    """The calls that the run goes on with, and whether each was approved."""
    if results is None:
        return {}
    return {call: not (answer is False or isinstance(answer, ToolDenied)) for call, answer in results.approvals.items()}


@dataclass
class _Guarding(AbstractCapability[Any]):
    """One run of one agent."""

    guard: Guard
    spec: AgentSpec
    answers: Mapping[str, bool]
    run: AgentRun | None = field(default=None, repr=False)

    def get_ordering(self) -> CapabilityOrdering | None:
        """Inside of everything else, where the arguments are final."""
        return CapabilityOrdering(position="innermost")

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        """All tools of the run, whoever contributed them."""
        return _GuardedToolset(toolset, self)

    async def wrap_run(self, ctx: RunContext[Any], *, handler: Any) -> Any:
        """The identity exists before the agent says a word, and ends with its run."""
        run = await self.guard.aopen(self.spec, *self.answers)
        self.run = run
        for call, is_approved in self.answers.items():
            if not is_approved:
                run.questions.drop(call)
        try:
            return await handler()
        finally:
            await self.guard.aclose(self.spec, run, run.questions.first())

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Refuses what the vendor would run: nobody could decide about it."""
        native = request_context.model_request_parameters.native_tools
        if native:
            raise UserError(f"TrustWarden cannot guard tools that run at the model's vendor: {native[0].kind}")
        return request_context


@dataclass
class _GuardedToolset(WrapperToolset[Any]):
    """The last step before a tool's function."""

    guarding: _Guarding

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Decides, calls, reports."""
        run, guard = self.guarding.run, self.guarding.guard
        if run is None:
            raise UserError("a protected agent's tool was called outside of its run")
        with run.step():
            try:
                call = await guard.call(name, tool_args, ctx.tool_call_id or "").adecided()
                async with call:
                    return await self._body(name, tool_args, ctx, tool)
            except Refused as refused:
                raise ToolFailed(str(refused)) from refused
            except Waiting as waiting:
                raise ApprovalRequired(waiting.question.payload()) from waiting

    async def _body(self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]) -> Any:
        with body_of(self.guarding.guard, name):
            return await super().call_tool(name, tool_args, ctx, tool)
