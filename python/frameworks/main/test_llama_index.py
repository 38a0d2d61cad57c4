"""LlamaIndex, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
from contract import ToolObjects
from harness import ACTIONS, SCOPE, Call, Definition, Desk, PausingHarness, Result, ToolHarness, Turn
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ToolCallResult
from llama_index.core.llms import ChatMessage, ChatResponse, LLMMetadata, MessageRole
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import HumanResponseEvent, InputRequiredEvent
from mcp.types import CallToolResult
from questions import PausingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters.llama_index import protect


class Scripted(FunctionCallingLLM):
    """Says what it was told to say."""

    turns: list[Any]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True, model_name="scripted")

    def _next(self) -> ChatResponse:
        turn: Turn = self.turns.pop(0)
        text, calls = (turn, []) if isinstance(turn, str) else ("", list(turn))
        message = ChatMessage(role=MessageRole.ASSISTANT, content=text, additional_kwargs={"calls": calls})
        return ChatResponse(message=message)

    def get_tool_calls_from_response(self, response: ChatResponse, *_: Any, **__: Any) -> list[ToolSelection]:
        calls = response.message.additional_kwargs["calls"]
        return [ToolSelection(tool_id=call.id, tool_name=call.tool, tool_kwargs=dict(call.args)) for call in calls]

    async def achat(self, *_: Any, **__: Any) -> ChatResponse:
        return self._next()

    async def astream_chat(self, *_: Any, **__: Any) -> Any:
        async def answer() -> Any:
            yield self._next()

        return answer()

    def _prepare_chat_with_tools(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"messages": []}

    def chat(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def stream_chat(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def complete(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def stream_complete(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def acomplete(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def astream_complete(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


class LlamaHarness(PausingHarness, ToolHarness):
    modes: ClassVar = ("async", "stream")

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def make(self, definition: Definition) -> Any:
        tools: list[Any] = [FunctionTool.from_defaults(fn=each) for each in definition.tools]
        tools += [self._as_tool(sub) for sub in definition.subs]
        return FunctionAgent(
            name=definition.name,
            description=definition.name,
            tools=tools,
            llm=Scripted(turns=list(definition.turns)),
            streaming=True,
        )

    def _as_tool(self, sub: Definition) -> Any:
        agent = self.make(sub)

        async def ask(question: str) -> str:
            """Asks."""
            return str(await agent.run(question))

        return FunctionTool.from_defaults(async_fn=ask, name=f"ask_{sub.name}")

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        return protect(agent, identity, **options)

    def run(self, agent: Any, mode: str) -> Result:
        async def start() -> Result:
            return await self._follow(agent.run("go"), Result())

        return self._loop.run_until_complete(start())

    def resume(self, agent: Any, paused: Result, *, approved: bool) -> Result:
        async def go_on() -> Result:
            assert paused.question is not None
            said: Any = {"request": paused.question["request"], "approved": approved}
            answer = HumanResponseEvent(**said)
            paused.handle.ctx.send_event(answer)
            return await self._follow(paused.handle, paused)

        return self._loop.run_until_complete(go_on())

    def invoke(self, agent: Any, tool: str, args: Mapping[str, Any]) -> str:
        [found] = [each for each in agent.tools if each.metadata.name == tool]
        return found.call(**args).content

    def close(self) -> None:
        self._loop.close()

    async def _follow(self, handler: Any, so_far: Result) -> Result:
        results = dict(so_far.results)
        async for event in handler.stream_events():
            if isinstance(event, ToolCallResult):
                results[event.tool_id] = (event.tool_output.content, event.tool_output.is_error)
            elif isinstance(event, InputRequiredEvent):
                return Result(results=results, question=dict(event.items()), handle=handler)
        return Result(results=results, final=str(await handler), handle=handler)


class TestLlamaIndex(PausingContract, ToolObjects):
    @pytest.fixture
    def harness(self) -> Iterator[LlamaHarness]:
        harness = LlamaHarness()
        yield harness
        harness.close()

    def test_after_handing_over_the_next_agent_is_a_child_of_the_one_before(
        self, world: World, desk: Desk, harness: LlamaHarness
    ) -> None:
        turns: list[Turn] = [
            [Call("lookup", {"word": "a"}, "c1")],
            [Call("handoff", {"to_agent": "closer", "reason": "late"}, "c2")],
        ]
        front = harness.make(Definition("desk", turns, desk.pick("lookup")))
        closing: list[Turn] = [[Call("read_file", {"path": "a"}, "h1")], "closed"]
        closer = harness.make(Definition("closer", closing, desk.pick("read_file")))
        workflow = AgentWorkflow(agents=[front, closer], root_agent="desk")
        root = world.create(SCOPE)
        protect(workflow, root, actions=ACTIONS, scopes={"closer": ["read:file"]})
        assert harness.run(workflow, "async").final == "closed"
        [(first, _), (second, _)] = desk.done
        assert (first, f"/{root.name}.closer/" in second) == (root.id, True)
        root.close()

    def test_an_answer_of_an_mcp_tool_that_says_it_failed_is_a_failure_in_the_ledger(
        self, world: World, harness: LlamaHarness
    ) -> None:
        def break_it() -> CallToolResult:
            """Fails."""
            return CallToolResult(content=[], is_error=True)

        turns: list[Turn] = [[Call("break_it", {}, "c1")], "done"]
        root = world.create(["use:tool:break_it"])
        agent = harness.make(Definition("desk", turns, [break_it]))
        protect(agent, root, actions=ACTIONS)
        assert harness.run(agent, "async").final == "done"
        world.expect_records(root, [(root.id, "use:tool:break_it", "failure")])
        root.close()

    def test_an_agent_that_runs_code_is_refused(self, world: World) -> None:
        root = world.create(SCOPE)
        agent = CodeActAgent(code_execute_fn=lambda code: code, llm=Scripted(turns=[]), name="coder")
        with pytest.raises(ValueError, match="cannot be guarded"):
            protect(agent, root)
        root.close()
