"""LangChain and LangGraph: `protect(agent, identity)` gives an agent, and every agent it can reach, an identity each.

Works on the objects themselves: the compiled graphs and tools stay what they were, and from then on whoever runs or
invokes them, by whatever way, goes through here. A refusal is a `ToolMessage` with status `error` (a `ToolException`
where nobody gave a call id), a question to a human is LangGraph's `interrupt`. A tool that nobody protected and that
starts inside a protected run, say of an agent that a tool makes while it runs, is refused.

Model calls are not guarded here; that is the gateway's business.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast

try:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.messages import ToolMessage
    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.runnables.config import ensure_config, merge_configs
    from langchain_core.tools import BaseTool, ToolException
    from langgraph.errors import GraphBubbleUp
    from langgraph.prebuilt import ToolNode
    from langgraph.pregel import Pregel  # pyright: ignore[reportMissingTypeStubs]
    from langgraph.types import interrupt
except ImportError as error:  # pragma: no cover - needs an environment without the framework
    raise ImportError("trustwarden.adapters.langchain needs LangGraph: pip install 'trustwarden[langchain]'") from error

from ..errors import fail
from ..identity import AgentIdentity
from ._agent_run import AgentSpec, acting_as, current_identity, current_run
from ._approvals import Question
from ._core import Guard, Refused, ToolCall, Waiting, body_of
from ._discover import reachable
from ._langchain_args import visible_args
from ._mapping import ActionOf, ToolAction, Unmapped, to_params

__all__ = ["ToolAction", "acting_as", "current_identity", "protect"]

AnyGraph = TypeVar("AnyGraph", bound="Pregel[Any, Any, Any, Any]")
_GUARD = "__trustwarden_guard__"
_NAMELESS = "LangGraph"
"""The name that LangGraph gives a graph without one."""


@dataclass(frozen=True)
class _Entering:
    """A protected tool is about to run."""

    call_id: str | None


@dataclass(frozen=True)
class _Body:
    """The body of a protected tool runs."""

    tool: BaseTool


_place: ContextVar[_Entering | _Body | None] = ContextVar("trustwarden_langchain_place", default=None)


def protect(
    agent: AnyGraph,
    identity: AgentIdentity | None = None,
    *,
    actions: Mapping[str, ActionOf] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    unmapped: Unmapped = "use",
    ttl: str | None = None,
    approval_timeout: float = 60.0,
) -> AnyGraph:
    """Guards an agent and everything it reaches: subgraphs, tools, and agents inside tools. Returns the same object.

    `identity` is the agent's own. Without one it can only run inside another protected agent, or under `acting_as`.
    `actions` says which action each tool is (`"read:file:{path}"`, or a function of the arguments); a tool without a
    row is `use:tool:<name>`, or refused with `unmapped="deny"`. `scopes` says what a sub-agent may do, by its name;
    otherwise what its tools need. `ttl` is the lifetime of a sub-agent; it ends with its run in any case.
    `approval_timeout` is how long a resumed call waits for the owner's signed answer, in seconds.

    Raises `ValueError` for an agent that is guarded already or a name that two agents share, and `scope_malformed`.
    """
    guard = Guard(
        identity,
        actions=actions,
        scopes=scopes,
        unmapped=unmapped,
        ttl=ttl,
        approval_timeout=approval_timeout,
        pauses=(GraphBubbleUp,),
    )
    agents = _agents_of(agent)
    specs = {id(graph): guard.spec_of(name, _tools_of(graph)) for graph, name in agents if graph is not agent}
    specs[id(agent)] = guard.root_spec_of(_name_of(agent, {}), _tools_of(agent))
    for tool in [found for found in _reachable(agent) if isinstance(found, BaseTool)]:
        _guard_tool(tool, guard)
    for graph, _ in agents:
        _guard_graph(graph, guard, specs[id(graph)])
    return agent


def _agents_of(root: Pregel[Any, Any, Any, Any]) -> list[tuple[Pregel[Any, Any, Any, Any], str]]:
    """The graphs that call tools, the root first, each with a name of its own."""
    nodes: dict[int, str] = {}
    graphs: list[Pregel[Any, Any, Any, Any]] = []
    for found in _reachable(root):
        if not isinstance(found, Pregel):
            continue
        graph = cast("Pregel[Any, Any, Any, Any]", found)
        nodes.update({id(node.bound): name for name, node in graph.nodes.items()})
        graphs.append(graph)
    agents = [(graph, _name_of(graph, nodes)) for graph in graphs if graph is root or _tools_of(graph)]
    names = [name for _, name in agents]
    for graph, name in agents:
        if names.count(name) > 1:
            raise ValueError(f"two agents are called '{name}'; give each a name of its own (create_agent(name=...))")
        if _guard_of(graph) is not None:
            raise ValueError(f"the agent '{name}' is protected already")
    return agents


def _name_of(graph: Pregel[Any, Any, Any, Any], nodes: Mapping[int, str]) -> str:
    name = graph.name
    return name if name and name != _NAMELESS else nodes.get(id(graph), "agent")


def _tools_of(graph: Pregel[Any, Any, Any, Any]) -> list[str]:
    return [found.name for found in _reachable(graph) if isinstance(found, BaseTool)]


def _reachable(root: object) -> Iterator[object]:
    return reachable(root, _expand, packages=("langchain", "langchain_core", "langgraph"))


def _expand(value: object) -> Iterator[object] | None:
    if isinstance(value, Pregel):
        nodes = cast("Pregel[Any, Any, Any, Any]", value).nodes
        return iter([node.bound for node in nodes.values()])
    if isinstance(value, BaseTool):
        return iter([*vars(value).values(), type(value)._run, type(value)._arun])  # pyright: ignore[reportPrivateUsage]
    if isinstance(value, ToolNode):
        return iter([*value.tools_by_name.values(), *vars(value).values()])
    if isinstance(value, Runnable):
        return iter(vars(value).values())
    return None


def _guard_of(value: object) -> Guard | None:
    return cast("Guard | None", getattr(type(value), _GUARD, None))


def _guard_graph(graph: Pregel[Any, Any, Any, Any], guard: Guard, spec: AgentSpec) -> None:
    """Every way to run a graph ends in `stream` or `astream`; a copy of the graph keeps its class."""
    original: Any = type(graph)

    def stream(self: Any, input: Any, config: RunnableConfig | None = None, **options: Any) -> Generator[Any]:
        key = _run_key(config)
        run = guard.open(spec, *_known(key))
        items = original.stream(self, input, _with_net(config), **options)
        try:
            while True:
                with run.step():
                    item = next(items, _END)
                if item is _END:
                    return
                yield item
        finally:
            with run.step():
                _close(items)
            guard.close(spec, run, key)

    async def astream(
        self: Any, input: Any, config: RunnableConfig | None = None, **options: Any
    ) -> AsyncGenerator[Any]:
        key = _run_key(config)
        run = await guard.aopen(spec, *_known(key))
        items = original.astream(self, input, _with_net(config), **options)
        try:
            while True:
                with run.step():
                    item = await anext(items, _END)
                if item is _END:
                    return
                yield item
        finally:
            with run.step():
                await _aclose(items)
            await guard.aclose(spec, run, key)

    members: dict[str, object] = {
        "stream": functools.wraps(original.stream)(stream),
        "astream": functools.wraps(original.astream)(astream),
        _GUARD: guard,
        "__module__": original.__module__,
    }
    graph.__class__ = type(original.__name__, (original,), members)


_END = object()


def _close(items: object) -> None:
    if isinstance(items, Generator):
        items.close()


async def _aclose(items: object) -> None:
    if isinstance(items, AsyncGenerator):
        await items.aclose()


def _known(key: str | None) -> tuple[str, ...]:
    return () if key is None else (key,)


def _run_key(config: RunnableConfig | None) -> str | None:
    """What names this run again when it is resumed; None without a thread, where nothing can be resumed."""
    known = ensure_config(config).get("configurable", {})
    thread = known.get("thread_id")
    return None if thread is None else f"{thread}|{known.get('checkpoint_ns', '')}"


def _guard_tool(tool: BaseTool, guard: Guard) -> None:
    """Every way to use a tool ends in `run` or `arun`, and these in `_run` or `_arun` with what the tool gets."""
    if _guard_of(tool) is not None:
        if _guard_of(tool) is guard:
            return
        raise ValueError(f"the tool '{tool.name}' is protected already")
    original = type(tool)
    members: dict[str, object] = {
        **_entries(original),
        **_bodies(original, guard),
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
    }
    metaclass: Any = type(original)
    guarded = metaclass(original.__name__, (original,), members)
    setattr(guarded, _GUARD, guard)
    object.__setattr__(tool, "__class__", guarded)


def _entries(original: type[BaseTool]) -> dict[str, Callable[..., Any]]:
    @functools.wraps(original.run)
    def run(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        call_id = kwargs.get("tool_call_id")
        with _at(_Entering(call_id)):
            try:
                return original.run(self, *args, **kwargs)
            except Refused as refused:
                return _tool_error(self, refused, call_id)

    @functools.wraps(original.arun)
    async def arun(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        call_id = kwargs.get("tool_call_id")
        with _at(_Entering(call_id)):
            try:
                return await original.arun(self, *args, **kwargs)
            except Refused as refused:
                return _tool_error(self, refused, call_id)

    return {"run": run, "arun": arun}


def _bodies(original: type[BaseTool], guard: Guard) -> dict[str, Callable[..., Any]]:
    sync_body, async_body = original._run, original._arun  # pyright: ignore[reportPrivateUsage]

    @functools.wraps(sync_body)
    def _run(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        at = _place.get()
        if isinstance(at, _Body) and at.tool is self:
            # The fallback of `_arun`, which has entered already.
            return sync_body(self, *args, **kwargs)
        call = _enter(guard, self, visible_args(self, args, kwargs))
        with call, _at(_Body(self)), body_of(guard, self.name):
            return sync_body(self, *args, **kwargs)

    @functools.wraps(async_body)
    async def _arun(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        call = await _aenter(guard, self, visible_args(self, args, kwargs))
        async with call:
            with _at(_Body(self)), body_of(guard, self.name):
                return await async_body(self, *args, **kwargs)

    return {"_run": _run, "_arun": _arun}


@contextmanager
def _at(place: _Entering | _Body) -> Generator[None]:
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def _enter(guard: Guard, tool: BaseTool, args: Mapping[str, object]) -> ToolCall:
    """A call whose decision is yes; pauses the graph as long as a human has to be asked."""
    key = _key_of(tool, args)
    question = _asked(key)
    call = guard.call(tool.name, args, key)
    if question is None:
        try:
            return call.decided()
        except Waiting as waiting:
            question = waiting.question
    _pause(tool, key, question)
    return guard.call(tool.name, args, key).decided()


async def _aenter(guard: Guard, tool: BaseTool, args: Mapping[str, object]) -> ToolCall:
    """As `_enter`, off the event loop."""
    key = _key_of(tool, args)
    question = _asked(key)
    call = guard.call(tool.name, args, key)
    if question is None:
        try:
            return await call.adecided()
        except Waiting as waiting:
            question = waiting.question
    _pause(tool, key, question)
    return await guard.call(tool.name, args, key).adecided()


def _key_of(tool: BaseTool, args: Mapping[str, object]) -> str:
    at = _place.get()
    if isinstance(at, _Entering) and at.call_id is not None:
        return at.call_id
    text = json.dumps([tool.name, to_params(args)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _asked(key: str) -> Question | None:
    run = current_run()
    return None if run is None else run.questions.find(key)


def _pause(tool: BaseTool, key: str, question: Question) -> None:
    """Returns when the graph was resumed with anything but a no."""
    try:
        answer = interrupt(question.payload())
    except GraphBubbleUp:
        raise
    except (KeyError, RuntimeError) as error:
        # Outside of a graph nothing can pause; the question stays with the owner.
        raise Refused(fail("approval_required", {"request": question.request}), tool.name) from error
    run = current_run()
    if _is_no(answer) and run is not None:
        run.questions.drop(key)
        raise Refused(fail("approval_denied", {"request": question.request}), tool.name)


def _is_no(answer: object) -> bool:
    if isinstance(answer, Mapping):
        said = cast("Mapping[str, object]", answer)
        return said.get("type") == "reject" or said.get("approved") is False
    return answer is False


def _tool_error(tool: BaseTool, refused: Refused, call_id: str | None) -> ToolMessage:
    if call_id is None:
        raise ToolException(str(refused)) from refused
    return ToolMessage(content=str(refused), name=tool.name, tool_call_id=call_id, status="error")


class _Net(BaseCallbackHandler):
    """Refuses tools that start inside a protected run without being protected themselves."""

    raise_error = True
    run_inline = True

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **_: Any) -> None:
        """Runs before the tool; what it raises ends the call."""
        if current_run() is not None and not isinstance(_place.get(), _Entering):
            name = str(serialized.get("name"))
            raise ToolException(str(Refused(fail("tool_unguarded"), name))) from fail("tool_unguarded", {"tool": name})


_NET = _Net()


def _with_net(config: RunnableConfig | None) -> RunnableConfig:
    return merge_configs(config, {"callbacks": [_NET]})
