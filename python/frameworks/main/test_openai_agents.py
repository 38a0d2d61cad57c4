"""The OpenAI Agents SDK, as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, WebSearchTool, function_tool
from agents.items import ToolCallOutputItem
from agents.mcp import MCPServer
from agents.tool_context import ToolContext
from contract import ToolObjects
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, PausingHarness, Result, ToolHarness, Turn
from mcp.types import CallToolResult
from mcp.types import Tool as McpTool
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from questions import PausingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters.openai_agents import protect, question_of

CONFIG = RunConfig(tracing_disabled=True)


def output_of(turn: Turn) -> list[Any]:
    if isinstance(turn, str):
        said = ResponseOutputText(text=turn, type="output_text", annotations=[])
        return [ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[said])]
    return [
        ResponseFunctionToolCall(
            type="function_call", call_id=call.id, name=call.tool, arguments=json.dumps(dict(call.args))
        )
        for call in turn
    ]


class Breaking(MCPServer):
    """Has two tools, of which one says that it failed."""

    @property
    def name(self) -> str:
        return "breaking"

    async def connect(self) -> None:
        pass

    async def cleanup(self) -> None:
        pass

    async def list_tools(self, *_: Any, **__: Any) -> list[Any]:
        return [McpTool(name=name, input_schema={"type": "object"}) for name in ("break_it", "mend_it")]

    async def call_tool(self, tool_name: str, *_: Any, **__: Any) -> CallToolResult:
        return CallToolResult(content=[], is_error=tool_name == "break_it")

    async def list_prompts(self) -> Any:
        return None

    async def get_prompt(self, *_: Any, **__: Any) -> Any:
        return None


class Scripted(Model):
    """Says what it was told to say."""

    def __init__(self, turns: Any) -> None:
        self._turns = iter(list(turns))

    async def get_response(self, *_: Any, **__: Any) -> ModelResponse:
        return ModelResponse(output=output_of(next(self._turns)), usage=Usage(), response_id=None)

    async def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        response = Response(
            id="r",
            created_at=0,
            model="scripted",
            object="response",
            output=output_of(next(self._turns)),
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
        )
        yield ResponseCompletedEvent(type="response.completed", sequence_number=0, response=response)


class OpenAiHarness(PausingHarness, ToolHarness):
    modes: ClassVar = ("async", "sync", "stream")
    refusal_is_marked: ClassVar = False

    def make(self, definition: Definition) -> Any:
        tools: list[Any] = [function_tool(each) for each in definition.tools]
        for sub in definition.subs:
            tools.append(self._as_tool(self.make(sub)))
        return Agent(name=definition.name, tools=tools, model=Scripted(definition.turns))

    def _as_tool(self, agent: Any) -> Any:
        async def ask(question: str) -> str:
            """Asks."""
            return (await Runner.run(agent, question, run_config=CONFIG)).final_output

        return function_tool(ask, name_override=f"ask_{agent.name}")

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        return protect(agent, identity, **options)

    def run(self, agent: Any, mode: str) -> Result:
        return self._go(agent, "go", mode)

    def resume(self, agent: Any, paused: Result, *, approved: bool) -> Result:
        mode, run = paused.handle
        state = run.to_state()
        for item in run.interruptions:
            state.approve(item) if approved else state.reject(item)
        return self._go(agent, state, mode)

    def invoke(self, agent: Any, tool: str, args: Mapping[str, Any]) -> str:
        [found] = [each for each in agent.tools if each.name == tool]
        text = json.dumps(dict(args))
        context = ToolContext(context=None, tool_name=tool, tool_call_id="direct", tool_arguments=text)
        answer = str(asyncio.run(found.on_invoke_tool(context, text)))
        # The SDK has no other tool error than its text.
        if answer.startswith("TrustWarden refused"):
            raise RuntimeError(answer)
        return answer

    def _go(self, agent: Any, question: Any, mode: str) -> Result:
        if mode == "sync":
            run: Any = Runner.run_sync(agent, question, run_config=CONFIG)
        elif mode == "async":
            run = asyncio.run(Runner.run(agent, question, run_config=CONFIG))
        else:
            run = asyncio.run(self._stream(agent, question))
        outputs = [item for item in run.new_items if isinstance(item, ToolCallOutputItem)]
        asked = [item.raw_item.call_id for item in run.interruptions]
        return Result(
            results={str(item.raw_item["call_id"]): (str(item.output), False) for item in outputs},  # pyright: ignore
            final=run.final_output,
            question=self._question(agent, asked[0]) if asked else None,
            handle=(mode, run),
        )

    async def _stream(self, agent: Any, question: Any) -> Any:
        run = Runner.run_streamed(agent, question, run_config=CONFIG)
        async for _ in run.stream_events():
            pass
        return run

    def _question(self, agent: Any, call_id: str) -> Mapping[str, Any] | None:
        found = question_of(agent, call_id)
        return None if found is None else found.payload()


class TestOpenAiAgents(PausingContract, ToolObjects):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        yield OpenAiHarness()

    def test_after_a_handoff_the_next_agent_is_a_child_of_the_one_before(self, world: World, desk: Desk) -> None:
        closer = OpenAiHarness().make(
            Definition("closer", [[Call("read_file", {"path": "a"}, "h1")], "closed"], desk.pick("read_file"))
        )
        turns: list[Turn] = [
            [Call("lookup", {"word": "a"}, "c1")],
            [Call("transfer_to_closer", {}, "c2")],
        ]
        front = OpenAiHarness().make(Definition("desk", turns, desk.pick("lookup")))
        front.handoffs = [closer]
        root = world.create(SCOPE)
        protect(front, root, actions=ACTIONS)
        run = asyncio.run(Runner.run(front, "go", run_config=CONFIG))
        assert run.final_output == "closed"
        [(first, _), (second, _)] = desk.done
        assert (first, f"/{root.name}.closer/" in second) == (root.id, True)
        root.close()

    def test_a_tool_that_runs_elsewhere_is_refused(self, world: World) -> None:
        root = world.create(SCOPE)
        with pytest.raises(ValueError, match="cannot be guarded"):
            protect(Agent(name="desk", tools=[WebSearchTool()]), root)
        late = protect(Agent(name="desk", model=Scripted(["done"])), root)
        late.tools.append(WebSearchTool())
        with pytest.raises(ValueError, match="cannot be guarded"):
            asyncio.run(Runner.run(late, "go", run_config=CONFIG))
        root.close()

    def test_an_answer_of_an_mcp_server_that_says_it_failed_is_a_failure_in_the_ledger(self, world: World) -> None:
        turns: list[Turn] = [[Call("break_it", {}, "c1")], [Call("mend_it", {}, "c2")], "done"]
        root, server = world.create(["use:tool:*"]), Breaking()
        agent = Agent(name="desk", model=Scripted(turns), mcp_servers=[server])
        protect(agent, root)
        assert asyncio.run(Runner.run(agent, "go", run_config=CONFIG)).final_output == "done"
        expected = [(root.id, "use:tool:break_it", "failure"), (root.id, "use:tool:mend_it", "success")]

        def came() -> list[tuple[str, str, str]]:
            # At load a call is decided again, and the decision of before is aborted.
            return [record for record in world.records(root) if record[2] != "aborted"]

        world.eventually(lambda: came() == expected, lambda: f"{came()} != {expected}")
        root.close()

    def test_a_tool_that_is_added_later_is_guarded(self, world: World, desk: Desk) -> None:
        root = world.create(SCOPE)
        turns: list[Turn] = [[Call("write_file", {"path": "secrets", "text": "a"}, "c1")], "done"]
        agent = OpenAiHarness().make(Definition("desk", turns))
        protect(agent, root, actions=ACTIONS)
        agent.tools.append(function_tool(desk.tools()["write_file"]))
        asyncio.run(Runner.run(agent, "go", run_config=CONFIG))
        assert desk.what == []
        root.close()
