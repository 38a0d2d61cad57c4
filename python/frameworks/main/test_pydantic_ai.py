"""pydantic-ai, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, PausingHarness, Result, Turn
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.native_tools import WebSearchTool
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.toolsets import FunctionToolset
from questions import PausingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters.pydantic_ai import protect

NATIVE = ModelProfile(supported_native_tools=frozenset({WebSearchTool}))


def parts_of(turn: Turn) -> list[Any]:
    if isinstance(turn, str):
        return [TextPart(turn)]
    return [ToolCallPart(call.tool, dict(call.args), tool_call_id=call.id) for call in turn]


def model_of(turns: Any) -> FunctionModel:
    left = iter(list(turns))

    def answer(*_: Any) -> ModelResponse:
        return ModelResponse(parts=parts_of(next(left)))

    async def stream(*_: Any) -> AsyncIterator[Any]:
        for index, part in enumerate(parts_of(next(left))):
            if isinstance(part, TextPart):
                yield part.content
            else:
                args = part.args_as_json_str()
                yield {index: DeltaToolCall(part.tool_name, json_args=args, tool_call_id=part.tool_call_id)}

    return FunctionModel(answer, stream_function=stream)


class PydanticHarness(PausingHarness):
    modes: ClassVar = ("async", "sync", "stream")

    def make(self, definition: Definition) -> Any:
        agent: Any = Agent(model_of(definition.turns), name=definition.name, output_type=[str, DeferredToolRequests])
        for each in definition.tools:
            agent.tool_plain(each)
        for sub in definition.subs:
            self._offer(agent, self.make(sub))
        return agent

    def _offer(self, agent: Any, sub: Any) -> None:
        async def ask(question: str) -> str:
            """Asks."""
            return str((await sub.run(question)).output)

        agent.tool_plain(ask, name=f"ask_{sub.name}")

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        return protect(agent, identity, **options)

    def run(self, agent: Any, mode: str) -> Result:
        return self._go(agent, mode, user_prompt="go")

    def resume(self, agent: Any, paused: Result, *, approved: bool) -> Result:
        mode, run = paused.handle
        answers = run.output.build_results(approvals={call.tool_call_id: approved for call in run.output.approvals})
        return self._go(agent, mode, message_history=run.all_messages(), deferred_tool_results=answers)

    def _go(self, agent: Any, mode: str, **options: Any) -> Result:
        if mode == "sync":
            run = agent.run_sync(**options)
        elif mode == "async":
            run = asyncio.run(agent.run(**options))
        else:
            run = asyncio.run(self._stream(agent, options))
        parts = [part for message in run.all_messages() for part in message.parts]
        told = [part for part in parts if isinstance(part, ToolReturnPart)]
        deferred = run.output if isinstance(run.output, DeferredToolRequests) else None
        return Result(
            results={part.tool_call_id: (str(part.content), part.outcome != "success") for part in told},
            final=None if deferred else str(run.output),
            question=next(iter(deferred.metadata.values())) if deferred else None,
            handle=(mode, run),
        )

    async def _stream(self, agent: Any, options: Mapping[str, Any]) -> Any:
        async with agent.iter(**options) as run:
            async for _ in run:
                pass
        return run.result


class TestPydanticAi(PausingContract):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        yield PydanticHarness()

    def test_a_tool_of_the_vendor_and_a_realtime_session_are_refused(self, world: World) -> None:
        root = world.create(SCOPE)
        model = FunctionModel(lambda *_: ModelResponse(parts=[TextPart("done")]), profile=NATIVE)
        agent: Any = Agent(model, name="desk", capabilities=[NativeTool(WebSearchTool())])
        protect(agent, root)
        with pytest.raises(UserError, match="cannot guard"):
            agent.run_sync("go")
        with pytest.raises(UserError, match="realtime"):
            agent.realtime("openai:gpt-realtime")
        root.close()

    def test_a_toolset_of_one_run_is_guarded_too(self, world: World, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = PydanticHarness().make(Definition("desk", [[Call("write_file", {"path": "secrets"}, "c1")], "done"]))
        protect(agent, root, actions=ACTIONS)
        agent.run_sync("go", toolsets=[FunctionToolset(desk.pick("write_file"))])
        assert desk.what == []
        root.close()

    def test_a_sub_agent_that_runs_by_itself_has_its_own_scope_and_not_the_top_agents(
        self, world: World, desk: Desk
    ) -> None:
        # As from a bare thread of a tool, which inherits no context.
        harness, root = PydanticHarness(), world.create(SCOPE)
        turns: list[Turn] = [[Call("read_file", {"path": "a"}, "r1"), Call("lookup", {"word": "b"}, "r2")], "read"]
        reader = harness.make(Definition("reader", turns, desk.pick("read_file", "lookup")))
        boss = harness.make(Definition("desk", ["done"]))
        harness._offer(boss, reader)
        protect(boss, root, actions=ACTIONS, scopes={"reader": ["read:file"]})
        reader.run_sync("go")
        [(who, what)] = desk.done
        assert (what, f"/{root.name}.reader/" in who) == ("read a", True)
        root.close()
