"""CrewAI: `protect(agent_or_crew, identity)` gives it, and each agent that works in it, an identity.

The objects stay what they were. Each task that an agent executes, and each kickoff of its own, is a turn with an
identity; tools are guarded where their function is called, also those that a crew brings along: delegation, memory,
files, MCP. A refusal is a `ToolFailure`, which the agent reads. CrewAI has no pause in front of a tool, so a call that
waits for a human waits, `approval_timeout` seconds at most. An agent whose identity is over is ended as CrewAI's own
hooks end one.

Agents of other frameworks, agents elsewhere (A2A) and tools that run at the model's vendor cannot be guarded here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

try:
    from crewai import Agent, Crew, Task
    from crewai.agents.agent_builder.base_agent import BaseAgent
    from crewai.hooks import HookAborted
    from crewai.tools import BaseTool
    from crewai.tools.agent_tools.deferred_tool_result_reader import DeferredToolResultReader
    from crewai.utilities.agent_utils import is_inside_event_loop
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError("trustwarden.adapters.crewai needs CrewAI: pip install 'trustwarden[crewai]'") from error

from ..identity import AgentIdentity
from ._agent_run import AgentSpec, acting_as, current_identity
from ._core import Guard
from ._crewai_tools import as_asked, guard_tool, is_guarded, require_guardable_tool, tool_name_of
from ._discover import reachable
from ._mapping import ActionOf, ToolAction, Unmapped
from ._turns import Turn, current_turn

__all__ = ["ToolAction", "acting_as", "current_identity", "protect"]

Protected = TypeVar("Protected", bound="Agent | Crew")
_GUARD = "__trustwarden_guard__"
_DELEGATION = ("delegate_work_to_coworker", "ask_question_to_coworker")
"""The tools that CrewAI gives to whoever may delegate."""


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
    """Guards an agent or a crew, and every agent that it reaches. Returns the same object.

    `identity` is the agent's own, or the crew's; each turn of a member is a child of it, and the turn of an agent that
    work was delegated to is a child of the delegating one's. Without one it can only run inside another protected
    agent, or under `acting_as`. `actions` says which action each tool is (`"read:file:{path}"`, or a function of the
    arguments), by the name that the model sees; a tool without a row is `use:tool:<name>`, or refused with
    `unmapped="deny"`. `scopes` says what an agent may do, by its role; otherwise what its tools need, and those of the
    agents that it may delegate to. `ttl` is the lifetime of a turn's identity; it ends with its turn in any case.
    `approval_timeout` is how long a call waits for the owner's signed answer, in seconds.

    Raises `ValueError` for what is guarded already, a role that two agents share, or what cannot be guarded here; and
    `scope_malformed`.
    """
    guard = Guard(
        identity, actions=actions, scopes=scopes, unmapped=unmapped, ttl=ttl, approval_timeout=approval_timeout
    )
    found = list(_reachable(root))
    _require_guardable(found)
    crews = [each for each in found if isinstance(each, Crew)]
    agents = [each for each in found if isinstance(each, Agent)]
    plans = {id(agent): _plan_of(agent, crews, guard, scopes or {}) for agent in agents if agent is not root}
    if isinstance(root, Agent):
        spec = guard.root_spec_of(root.role.strip(), _tools_of(root))
        plans[id(root)] = _Plan(guard, spec, spec)
    for crew in crews:
        _guard_crew(crew, guard, scopes or {})
    for agent in agents:
        _guard_agent(agent, plans[id(agent)])
    for each in found:
        if isinstance(each, BaseTool):
            guard_tool(each, guard)
    return root


@dataclass(frozen=True)
class _Plan:
    """What an agent may do: when it has a task of its own, and when a coworker asks it to help."""

    guard: Guard
    member: AgentSpec
    helping: AgentSpec


def _plan_of(agent: Agent, crews: Sequence[Crew], guard: Guard, scopes: Mapping[str, Sequence[str]]) -> _Plan:
    name = agent.role.strip()
    if name not in scopes and _is_opaque(agent, crews):
        raise ValueError(f"the tools of '{name}' are known only while it runs; name its scope in scopes=")
    return _Plan(guard, guard.spec_of(name, _tools_as_member(agent, crews)), guard.spec_of(name, _tools_of(agent)))


def _require_guardable(found: Sequence[object]) -> None:
    agents = [each for each in found if isinstance(each, BaseAgent)]
    roles = [agent.role.strip() for agent in agents]
    for agent in agents:
        if roles.count(agent.role.strip()) > 1:
            raise ValueError(f"two agents have the role '{agent.role}'; give each one of its own")
        if not isinstance(agent, Agent):
            raise ValueError(f"'{agent.role}' is an agent of another framework, and its tools are not seen here")
        _require_local(agent)
    for each in found:
        if getattr(type(each), _GUARD, None) is not None or (isinstance(each, BaseTool) and is_guarded(each)):
            raise ValueError(f"'{getattr(each, 'role', getattr(each, 'name', 'it'))}' is protected already")
        if isinstance(each, BaseTool):
            require_guardable_tool(each)


def _require_local(agent: Agent) -> None:
    if agent.a2a is not None:
        raise ValueError(
            f"'{agent.role}' hands work to agents elsewhere (a2a), and nobody here could decide about that"
        )
    if getattr(agent.llm, "builtin_tools", None):
        raise ValueError(f"'{agent.role}' has tools that run at the model's vendor, and they cannot be guarded here")


def _tools_of(root: object) -> list[str]:
    return [tool_name_of(each) for each in _reachable(root) if isinstance(each, BaseTool)]


def _tools_as_member(agent: Agent, crews: Sequence[Crew]) -> list[str]:
    """What it needs for tasks of its own: those tasks' tools, and what it may have others do."""
    names = set(_tools_of(agent))
    for crew in crews:
        is_manager = agent is crew.manager_agent
        for task in crew.tasks:
            if is_manager or task.agent is agent:
                names.update(tool_name_of(tool) for tool in task.tools or ())
        if is_manager or (agent.allow_delegation and agent in crew.agents):
            names.update(_DELEGATION)
            names.update(*(_tools_of(other) for other in crew.agents))
    return sorted(names)


def _is_opaque(agent: Agent, crews: Sequence[Crew]) -> bool:
    """Whether it gets tools while it runs: of MCP servers and platforms, of its memory and skills."""
    has_own = agent.mcps or agent.apps or agent.skills or getattr(agent, "memory", None)
    return bool(has_own) or any(crew.memory for crew in crews if agent in [*crew.agents, crew.manager_agent])


def _reachable(root: object) -> Iterator[object]:
    return reachable(root, _expand, packages=("crewai", "crewai_tools"))


def _expand(value: object) -> Iterator[object] | None:
    if isinstance(value, Crew):
        return iter([*value.agents, *value.tasks, value.manager_agent])
    if isinstance(value, Task):
        return iter([value.agent, *(value.tools or ())])
    if isinstance(value, BaseAgent):
        return iter(value.tools or ())
    if isinstance(value, BaseTool):
        hidden = cast("dict[str, object] | None", value.__pydantic_private__) or {}
        return iter([*vars(value).values(), *hidden.values()])
    return None


def _guard_crew(crew: Crew, guard: Guard, scopes: Mapping[str, Sequence[str]]) -> None:
    """A crew copies itself, makes its manager when it begins, and can be restored as somebody else."""
    original = cast("Any", type(crew))

    def copied(self: Any) -> Any:
        found = original.copy(self)
        found.__class__ = type(self)
        return found

    def create_manager(self: Any) -> None:
        original._create_manager_agent(self)
        manager = self.manager_agent
        if not isinstance(manager, Agent):
            raise ValueError("the manager of a protected crew is an agent of CrewAI")
        if getattr(type(manager), _GUARD, None) is None:
            _require_local(manager)
            _guard_agent(manager, _plan_of(manager, [self], guard, scopes))

    def kickoff(self: Any, *args: Any, **options: Any) -> Any:
        _require_not_restored(options)
        return original.kickoff(self, *args, **options)

    async def kickoff_async(self: Any, *args: Any, **options: Any) -> Any:
        _require_not_restored(options)
        return await original.kickoff_async(self, *args, **options)

    async def akickoff(self: Any, *args: Any, **options: Any) -> Any:
        _require_not_restored(options)
        return await original.akickoff(self, *args, **options)

    members: dict[str, object] = {"copy": copied, "_create_manager_agent": create_manager}
    members |= {"kickoff": kickoff, "kickoff_async": kickoff_async, "akickoff": akickoff}
    _subclass(crew, guard, members)


def _require_not_restored(options: Mapping[str, Any]) -> None:
    """What is restored is made anew, and its delegated parts are not the protected ones."""
    checkpoint = options.get("from_checkpoint")
    if checkpoint is not None and checkpoint.restore_from is not None:
        raise ValueError("restore it first (from_checkpoint), and protect what was restored")


def _guard_agent(agent: Agent, plan: _Plan) -> None:
    guard = plan.guard
    _subclass(agent, guard, {**_ways_to_run(type(agent), plan), **_ways_to_tools(type(agent), guard)})
    agent.tools_handler.cache = None


def _ways_to_run(original: Any, plan: _Plan) -> dict[str, object]:
    """Every way to run an agent ends in one of these four."""

    def execute_task(self: Any, *args: Any, **options: Any) -> Any:
        with _turn(self, plan):
            return original.execute_task(self, *args, **options)

    async def aexecute_task(self: Any, *args: Any, **options: Any) -> Any:
        async with _aturn(self, plan):
            return await original.aexecute_task(self, *args, **options)

    def kickoff(self: Any, *args: Any, **options: Any) -> Any:
        _require_not_restored(options)
        if is_inside_event_loop():
            return original.kickoff(self, *args, **options)
        with _turn(self, plan):
            return original.kickoff(self, *args, **options)

    async def kickoff_async(self: Any, *args: Any, **options: Any) -> Any:
        _require_not_restored(options)
        async with _aturn(self, plan):
            return await original.kickoff_async(self, *args, **options)

    ways = (execute_task, aexecute_task, kickoff, kickoff_async)
    return {way.__name__: way for way in ways}


def _ways_to_tools(original: Any, guard: Guard) -> dict[str, object]:
    """Where an executor is made, and given its tools."""

    def add_loader(self: Any, tools: Any, task: Any = None) -> Any:
        """The last step before an executor is given its tools, whoever contributed them."""
        found = original._add_skill_loader_tool(self, tools, task=task)
        for tool in found:
            if not is_guarded(tool):
                require_guardable_tool(tool)
                guard_tool(tool, guard)
        return found

    def create_executor(self: Any, *args: Any, **options: Any) -> None:
        original.create_agent_executor(self, *args, **options)
        _watch(self.agent_executor)

    def prepare_kickoff(self: Any, *args: Any, **options: Any) -> Any:
        prepared = original._prepare_kickoff(self, *args, **options)
        _watch(prepared[0])
        return prepared

    def set_cache(self: Any, cache_handler: Any) -> None:
        """What a cache answers is decided by nobody."""

    return {
        "_add_skill_loader_tool": add_loader,
        "create_agent_executor": create_executor,
        "_prepare_kickoff": prepare_kickoff,
        "set_cache_handler": set_cache,
    }


def _watch(executor: Any) -> None:
    """Has the executor ask before each word of the model."""
    if _before_model not in executor.before_llm_call_hooks:
        executor.before_llm_call_hooks.append(_before_model)


def _before_model(context: Any) -> None:
    """Ends a turn whose identity is over, and one whose tools are not all guarded any more."""
    turn = current_turn()
    if turn is not None and turn.ended is not None:
        raise HookAborted(str(turn.ended), source="trustwarden")
    executor = context.executor
    for tool in executor.original_tools or ():
        # The executor's own reader of long results reads what was read already.
        if not is_guarded(tool) and type(tool) is not DeferredToolResultReader:
            raise HookAborted(f"the tool '{tool.name}' came after protect()", source="trustwarden")
    if getattr(executor.llm, "builtin_tools", None):
        raise HookAborted("tools that run at the model's vendor cannot be guarded here", source="trustwarden")


def _is_mine(agent: object) -> bool:
    turn = current_turn()
    return turn is not None and turn.agent is agent


@contextmanager
def _turn(agent: object, plan: _Plan) -> Generator[None]:
    """One turn; nothing where it is going on: the agent tries again, or one of its ways ends in another."""
    if _is_mine(agent):
        yield
        return
    with as_asked() as is_helping:
        spec = plan.helping if is_helping else plan.member
        turn = Turn(agent, plan.guard.open(spec))
        try:
            with turn.step(), _ending(turn):
                yield
        finally:
            plan.guard.close(spec, turn.run)


@asynccontextmanager
async def _aturn(agent: object, plan: _Plan) -> AsyncGenerator[None]:
    """As `_turn`, off the event loop."""
    if _is_mine(agent):
        yield
        return
    with as_asked() as is_helping:
        spec = plan.helping if is_helping else plan.member
        turn = Turn(agent, await plan.guard.aopen(spec))
        try:
            with turn.step(), _ending(turn):
                yield
        finally:
            await plan.guard.aclose(spec, turn.run)


@contextmanager
def _ending(turn: Turn) -> Generator[None]:
    """What ended the identity says more than the abort that it caused."""
    try:
        yield
    except Exception as error:
        if turn.ended is not None:
            raise turn.ended from error
        raise
    turn.check()


def _subclass(value: Any, guard: Guard, members: Mapping[str, object]) -> None:
    original = cast("Any", type(value))
    named = {"__module__": original.__module__, "__qualname__": original.__qualname__}
    value.__class__ = type(original.__name__, (original,), {**members, **named, _GUARD: guard})
