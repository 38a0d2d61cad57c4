"""LangChain and LangGraph, as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from contract import Contract, Definition, Harness, Result, ToolObjects, Turn
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

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


class LangchainHarness(Harness):
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


class TestLangchain(Contract, ToolObjects):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        yield LangchainHarness()
