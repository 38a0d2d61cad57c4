"""LangChain and LangGraph, as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from contract import ToolObjects
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, PausingHarness, Result, ToolHarness, Turn
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from questions import PausingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters.langchain import protect

CONFIG: Any = {"configurable": {"thread_id": "one"}}
QUESTION: Any = {"messages": [("user", "go")]}


class Model(GenericFakeChatModel):
    """Says what it was told to say."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def message_of(turn: Turn) -> AIMessage:
    if isinstance(turn, str):
        return AIMessage(turn)
    calls: Any = [{"name": call.tool, "args": dict(call.args), "id": call.id, "type": "tool_call"} for call in turn]
    return AIMessage("", tool_calls=calls)


def model_of(turns: Any) -> Model:
    return Model(messages=iter([message_of(turn) for turn in turns]))


def agent_tool(name: str, agent: Any) -> BaseTool:
    """An agent as a tool, as LangChain's own documentation writes it."""

    def sync_ask(question: str) -> str:
        """Asks."""
        return agent.invoke({"messages": [("user", question)]})["messages"][-1].text

    async def ask(question: str) -> str:
        """Asks."""
        return (await agent.ainvoke({"messages": [("user", question)]}))["messages"][-1].text

    made: Any = tool(f"ask_{name}")(sync_ask)
    made.coroutine = ask
    return made


class LangchainHarness(PausingHarness, ToolHarness):
    def make(self, definition: Definition) -> Any:
        tools: list[Any] = [tool(each) for each in definition.tools]
        tools += [agent_tool(sub.name, self._agent(sub, None)) for sub in definition.subs]
        return self._agent(definition, InMemorySaver(), tools)

    def _agent(self, definition: Definition, saver: Any, tools: list[Any] | None = None) -> Any:
        if tools is None:
            tools = [tool(each) for each in definition.tools]
            tools += [agent_tool(sub.name, self._agent(sub, None)) for sub in definition.subs]
        return create_agent(model_of(definition.turns), tools=tools, name=definition.name, checkpointer=saver)

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        return protect(agent, identity, **options)

    def run(self, agent: Any, mode: str) -> Result:
        return self._go(agent, QUESTION, mode)

    def resume(self, agent: Any, paused: Result, *, approved: bool) -> Result:
        return self._go(agent, Command(resume={"approved": approved}), paused.handle)

    def invoke(self, agent: Any, tool: str, args: Mapping[str, Any]) -> str:
        return str(agent.nodes["tools"].bound.tools_by_name[tool].invoke(dict(args)))

    def _go(self, agent: Any, question: Any, mode: str) -> Result:
        if mode == "stream":
            for _ in agent.stream(question, CONFIG, stream_mode="updates"):
                pass
        elif mode == "async":
            asyncio.run(agent.ainvoke(question, CONFIG))
        else:
            agent.invoke(question, CONFIG)
        return self._result(agent, mode)

    def _result(self, agent: Any, mode: str) -> Result:
        state = agent.get_state(CONFIG)
        messages = state.values["messages"]
        told = [message for message in messages if isinstance(message, ToolMessage)]
        question = state.interrupts[0].value if state.interrupts else None
        return Result(
            results={message.tool_call_id: (message.text, message.status == "error") for message in told},
            final=None if state.next else messages[-1].text,
            question=question,
            handle=mode,
        )


class TestLangchain(PausingContract, ToolObjects):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        yield LangchainHarness()

    def test_an_agent_that_a_tool_makes_while_it_runs_is_refused(self, world: World, desk: Desk) -> None:
        """Nobody could have found it, so its tools are refused where they start."""

        def improvise(word: str) -> str:
            """Makes an agent."""
            made: Any = create_agent(
                model_of([[Call("lookup", {"word": word}, "x1")], "made"]), tools=[tool(desk.tools()["lookup"])]
            )
            return made.invoke(QUESTION)["messages"][-1].text

        harness = LangchainHarness()
        root = world.create(SCOPE)
        turns: list[Turn] = [[Call("improvise", {"word": "a"}, "c1")], "done"] * 2
        agent = harness.protect(harness.make(Definition("desk", turns, [improvise])), root)
        for mode in ("sync", "async"):
            result = harness.run(agent, mode)
            assert "(tool_unguarded)" in result.results["c1"][0]
        assert desk.what == []
        root.close()

    def test_a_subgraph_is_a_sub_agent_and_a_copy_of_the_graph_is_guarded(self, world: World, desk: Desk) -> None:
        inner = create_agent(
            model_of([[Call("read_file", {"path": "a"}, "i1"), Call("write_file", {"path": "x"}, "i2")], "inner done"]),
            tools=[tool(desk.tools()["read_file"]), tool(desk.tools()["write_file"])],
        )
        builder: Any = StateGraph(MessagesState)
        builder.add_node("reader", inner)
        builder.add_edge(START, "reader")
        graph: Any = builder.compile(name="desk")
        root = world.create(SCOPE)
        protect(graph, root, actions=ACTIONS, scopes={"reader": ["read:file"]})
        for run, config in ((graph, None), (graph.with_config(tags=["copy"]), None)):
            with contextlib.suppress(StopIteration, RuntimeError):
                run.invoke(QUESTION, config)
        [(who, what)] = desk.done
        assert (what, f"/{root.name}.reader/" in who) == ("read a", True)
        root.close()

    def test_a_cancelled_call_is_recorded_as_aborted(self, world: World) -> None:
        started = asyncio.Event()

        async def wait_for_ever(word: str) -> str:
            """Waits."""
            started.set()
            await asyncio.Event().wait()
            return word

        root = world.create(SCOPE)
        agent: Any = create_agent(
            model_of([[Call("wait_for_ever", {"word": "a"}, "c1")], "done"]), tools=[tool(wait_for_ever)], name="desk"
        )
        protect(agent, root)

        async def run() -> None:
            task = asyncio.ensure_future(agent.ainvoke(QUESTION))
            await started.wait()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        asyncio.run(run())
        root.close()
        world.expect_records(root, [(root.id, "use:tool:wait_for_ever", "aborted")])

    def test_a_sub_agent_that_runs_by_itself_has_its_own_scope_and_not_the_top_agents(
        self, world: World, desk: Desk
    ) -> None:
        # As from a bare thread of a tool, which inherits no context.
        harness, root = LangchainHarness(), world.create(SCOPE)
        turns: list[Turn] = [[Call("read_file", {"path": "a"}, "r1"), Call("lookup", {"word": "b"}, "r2")], "read"]
        reader = harness._agent(Definition("reader", turns, desk.pick("read_file", "lookup")), None)
        boss = harness._agent(Definition("desk", ["done"]), None, [agent_tool("reader", reader)])
        protect(boss, root, actions=ACTIONS, scopes={"reader": ["read:file"]})
        reader.invoke(QUESTION)
        [(who, what)] = desk.done
        assert (what, f"/{root.name}.reader/" in who) == ("read a", True)
        root.close()
