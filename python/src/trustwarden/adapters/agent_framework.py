"""Microsoft Agent Framework: `protect(agent_or_workflow, identity)` gives each agent that it reaches an identity.

The objects stay what they were; each run of an agent carries the guard as its innermost function middleware, so that
nothing changes the arguments after they were decided on. A refusal is a failed function result, whose text the model is
shown. A question to a human is the framework's own `function_approval_request` where a session can keep it; inside of a
tool, where the framework has no pause, the call waits, `approval_timeout` seconds at most.

Agents of other kinds, chat clients that call functions by themselves, and tools that run at the model's vendor cannot
be guarded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

try:
    from agent_framework import (
        Agent,
        AgentExecutor,
        BaseAgent,
        BaseChatClient,
        Executor,
        FunctionTool,
        HistoryProvider,
        Workflow,
        WorkflowAgent,
    )
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError(
        "trustwarden.adapters.agent_framework needs Agent Framework: pip install 'trustwarden[agent-framework]'"
    ) from error

from ..identity import AgentIdentity
from ._agent_framework_run import GUARDING, PAUSES, GuardedRun, require_layers
from ._agent_run import AgentSpec, acting_as, current_identity
from ._core import Guard
from ._discover import reachable
from ._mapping import ActionOf, ToolAction, Unmapped

__all__ = ["ToolAction", "acting_as", "current_identity", "protect"]

Protected = TypeVar("Protected", bound="Agent[Any] | Workflow | WorkflowAgent")
_GUARD = "__trustwarden_guard__"
_PACKAGES = ("agent_framework", "agent_framework_orchestrations")


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
    """Guards an agent or a workflow, and every agent that it reaches. Returns the same object.

    `identity` is the agent's own, or the workflow's; each run of an agent of it is a child of it. Without one it can
    only run inside another protected agent, or under `acting_as`. `actions` says which action each tool is
    (`"read:file:{path}"`, or a function of the arguments); a tool without a row is `use:tool:<name>`, or refused with
    `unmapped="deny"`. `scopes` says what a sub-agent may do, by its name; otherwise what its tools need. `ttl` is the
    lifetime of a sub-agent; it ends with its run in any case. `approval_timeout` is how long a call waits for the
    owner's signed answer, in seconds.

    Raises `ValueError` for what is guarded already, an agent that has no name or shares it, or what cannot be guarded
    here; and `scope_malformed`.
    """
    guard = Guard(
        identity,
        actions=actions,
        scopes=scopes,
        unmapped=unmapped,
        ttl=ttl,
        approval_timeout=approval_timeout,
        pauses=PAUSES,
    )
    found = list(_reachable(root))
    agents = [cast("Agent[Any]", each) for each in found if isinstance(each, Agent)]
    _require_guardable(found, agents)
    # A handoff works on a copy of its agent; both are the same one.
    specs = {agent.id: _spec_of(agent, guard, scopes or {}) for agent in agents if agent is not root}
    if isinstance(root, Agent):
        top = cast("Agent[Any]", root)
        specs[top.id] = guard.root_spec_of(top.name or "agent", _tools_of(top))
    for agent in agents:
        _guard_agent(agent, guard, specs[agent.id])
    return root


def _require_guardable(found: Sequence[object], agents: Sequence[Agent[Any]]) -> None:
    ids = {agent.name: {other.id for other in agents if other.name == agent.name} for agent in agents}
    for agent in agents:
        if getattr(type(agent), _GUARD, None) is not None:
            raise ValueError(f"the agent '{agent.name}' is protected already")
        if agent.name is None or len(ids[agent.name]) > 1:
            raise ValueError(f"'{agent.name}' is not the name of one agent: Agent(..., name=...) gives each its own")
        require_layers(agent)
    for each in found:
        # An executor takes whatever answers `run`, also what is no agent of the framework by its class.
        agent = each.agent if isinstance(each, AgentExecutor) else each
        if isinstance(each, (AgentExecutor, BaseAgent)) and not isinstance(agent, (Agent, WorkflowAgent)):
            name = getattr(agent, "name", None)
            raise ValueError(f"'{name}' is no Agent of the framework, and its tools are not seen here")


def _spec_of(agent: Agent[Any], guard: Guard, scopes: Mapping[str, Sequence[str]]) -> AgentSpec:
    name = agent.name or "agent"
    if name not in scopes and any(_is_opaque(each) for each in _reachable(agent)):
        raise ValueError(f"the tools of '{name}' are known only while it runs; name its scope in scopes=")
    return guard.spec_of(name, _tools_of(agent))


def _tools_of(root: object) -> list[str]:
    return [found.name for found in _reachable(root) if isinstance(found, FunctionTool)]


def _is_opaque(value: object) -> bool:
    """Whether it gets tools while it runs: of an MCP server, or of a context provider that is no mere history."""
    if not isinstance(value, Agent):
        return False
    agent = cast("Agent[Any]", value)
    providers = [each for each in agent.context_providers if not isinstance(each, HistoryProvider)]
    # The framework's own one for handoffs brings no tools.
    is_theirs = [type(each).__module__.partition(".")[0] == "agent_framework_orchestrations" for each in providers]
    return bool(agent.mcp_tools) or not all(is_theirs)


def _reachable(root: object) -> Iterator[object]:
    return reachable(root, _expand, packages=_PACKAGES)


def _expand(value: object) -> Iterator[object] | None:
    if isinstance(value, Agent):
        agent = cast("Agent[Any]", value)
        return iter([agent.default_options.get("tools"), agent.mcp_tools, agent.context_providers])
    if isinstance(value, (BaseChatClient, type)):
        return iter(())
    is_theirs = type(value).__module__.partition(".")[0] in _PACKAGES and hasattr(value, "__dict__")
    # Executors and agents of other kinds are written by anybody.
    if is_theirs or isinstance(value, (BaseAgent, Executor)):
        return iter(vars(value).values())
    return None


def _guard_agent(agent: Agent[Any], guard: Guard, spec: AgentSpec) -> None:
    """Every way to run an agent ends in `run`, and every run is prepared once."""
    original = cast("Any", type(agent))

    def run(self: Any, messages: Any = None, *, middleware: Any = None, **options: Any) -> Any:
        require_layers(self)
        guarded = GuardedRun(guard, spec)
        return original.run(self, messages, middleware=[*(middleware or ()), guarded.agent_middleware], **options)

    async def prepare(self: Any, *, client_kwargs: Any = None, **options: Any) -> Any:
        given = dict(client_kwargs or {})
        guarded = given.pop(GUARDING, None)
        if not isinstance(guarded, GuardedRun):
            raise ValueError("a protected agent is run by its run()")
        prepared = await original._prepare_run_context(self, client_kwargs=given, **options)
        # After everybody's, also that of context providers: nothing comes between the decision and the tool.
        used = prepared["client_kwargs"]
        used["middleware"] = [*(used.get("middleware") or ()), guarded.chat_middleware, guarded.function_middleware]
        return prepared

    members = {"run": run, "_prepare_run_context": prepare, _GUARD: guard, "__module__": original.__module__}
    agent.__class__ = type(original.__name__, (original,), members)
