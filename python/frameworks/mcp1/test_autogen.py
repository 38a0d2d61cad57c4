"""AutoGen, as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent, MessageFilterAgent
from autogen_agentchat.agents._message_filter_agent import MessageFilterConfig
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import ToolCallExecutionEvent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken, FunctionCall, SingleThreadedAgentRuntime
from autogen_core.models import ChatCompletionClient, CreateResult, ModelInfo, RequestUsage
from autogen_core.tools import FunctionTool, TextResultContent, ToolResult, ToolSchema, Workbench
from contract import ToolObjects
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, Result, ToolHarness, Turn
from questions import WaitingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters._agent_run import RunEnded
from trustwarden.adapters.autogen import protect

USAGE = RequestUsage(prompt_tokens=0, completion_tokens=0)


def result_of(turn: Turn) -> CreateResult:
    if isinstance(turn, str):
        return CreateResult(finish_reason="stop", content=turn, usage=USAGE, cached=False)
    calls = [FunctionCall(id=call.id, name=call.tool, arguments=json.dumps(dict(call.args))) for call in turn]
    return CreateResult(finish_reason="function_calls", content=calls, usage=USAGE, cached=False)


class Scripted(ChatCompletionClient):
    """Says what it was told to say."""

    def __init__(self, turns: Any) -> None:
        self._turns = iter(list(turns))

    async def create(self, *_: Any, **__: Any) -> CreateResult:
        return result_of(next(self._turns))

    async def create_stream(self, *_: Any, **__: Any) -> AsyncGenerator[str | CreateResult, None]:
        yield result_of(next(self._turns))

    async def close(self) -> None:
        pass

    def actual_usage(self) -> RequestUsage:
        return USAGE

    def total_usage(self) -> RequestUsage:
        return USAGE

    def count_tokens(self, *_: Any, **__: Any) -> int:
        return 0

    def remaining_tokens(self, *_: Any, **__: Any) -> int:
        return 1000

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False
        )


def assistant(name: str, turns: Any, tools: Any = None, **options: Any) -> AssistantAgent:
    return AssistantAgent(name, Scripted(turns), tools=tools, max_tool_iterations=9, **options)


class AutoGenHarness(ToolHarness):
    modes: ClassVar = ("async", "stream")

    def make(self, definition: Definition) -> Any:
        tools: list[Any] = [FunctionTool(each, description=each.__doc__ or "") for each in definition.tools]
        tools.extend(self._as_tool(self.make(sub)) for sub in definition.subs)
        return assistant(definition.name, definition.turns, tools)

    def _as_tool(self, agent: Any) -> Any:
        async def ask(question: str) -> str:
            """Asks."""
            return (await agent.run(task=question)).messages[-1].content

        return FunctionTool(ask, description="Asks.", name=f"ask_{agent.name}")

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        return protect(agent, identity, **options)

    def run(self, agent: Any, mode: str) -> Result:
        return came_of(asyncio.run(agent.run(task="go") if mode == "async" else stream(agent)))

    def invoke(self, agent: Any, tool: str, args: Mapping[str, Any]) -> str:
        return str(asyncio.run(tool_of(agent, tool).run_json(args, CancellationToken())))


def tool_of(agent: Any, name: str) -> Any:
    [found] = [tool for tool in agent._workbench[0]._tools if tool.name == name]
    return found


async def stream(agent: Any) -> TaskResult:
    items = [item async for item in agent.run_stream(task="go")]
    return items[-1]


def came_of(result: TaskResult) -> Result:
    told = [
        each for message in result.messages if isinstance(message, ToolCallExecutionEvent) for each in message.content
    ]
    final: Any = result.messages[-1]
    return Result(results={each.call_id: (each.content, each.is_error is True) for each in told}, final=final.content)


class Remote(Workbench):
    """A workbench whose tools are known only while it runs, such as an MCP server's."""

    component_config_schema: Any = None

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list_tools(self) -> list[ToolSchema]:
        return [ToolSchema(name=name, description=name) for name in ("lookup", "delete_file", "break_it")]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        said = TextResultContent(content=self._desk.note(name))
        return ToolResult(name=name, result=[said], is_error=name == "break_it")

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def reset(self) -> None:
        pass

    async def save_state(self) -> Mapping[str, Any]:
        return {}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        pass


class TestAutoGen(WaitingContract, ToolObjects):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        yield AutoGenHarness()

    @pytest.mark.parametrize("way", ["run", "stream"])
    def test_each_member_of_a_team_is_a_child_of_the_team(self, world: World, desk: Desk, way: str) -> None:
        reading = [Call("read_file", {"path": "a"}, "c1"), Call("write_file", {"path": "notes"}, "c2")]
        first = assistant("first", [reading, "read"], desk.pick("read_file", "write_file"))
        filtered = MessageFilterAgent(
            "second",
            assistant("inner", [reading, "two"], desk.pick("read_file", "write_file")),
            MessageFilterConfig(per_source=[]),
        )
        root = world.create(SCOPE)
        team = protect(
            RoundRobinGroupChat([first, filtered], max_turns=2),
            root,
            actions=ACTIONS,
            scopes={"first": ["read:file"], "inner": ["read:file"]},
        )
        result = asyncio.run(team.run(task="go") if way == "run" else stream(team))
        assert came_of(result).final == "two"
        assert desk.what == ["read a", "read a"]
        (one, _), (two, _) = desk.done
        assert f"/{root.name}.first/" in one
        assert f"/{root.name}.inner/" in two
        root.close()

    def test_a_teams_member_outside_of_its_team_is_the_teams_child_all_the_same(self, world: World, desk: Desk) -> None:
        member = assistant("member", [[Call("read_file", {"path": "a"}, "c1")], "one"], desk.pick("read_file"))
        root = world.create(SCOPE)
        protect(RoundRobinGroupChat([member], max_turns=1), root, actions=ACTIONS)
        asyncio.run(member.run(task="go"))
        [(who, _)] = desk.done
        assert f"/{root.name}.member/" in who
        root.close()

    @pytest.mark.parametrize("kind", ["agent", "team"])
    def test_the_frameworks_own_tools_of_agents_and_teams_are_sub_agents(
        self, world: World, desk: Desk, kind: str
    ) -> None:
        turns: list[Turn] = [
            [Call("read_file", {"path": "a"}, "r1"), Call("delete_file", {"path": "a"}, "r2")],
            "sub done",
        ]
        sub = assistant("reader", turns, desk.pick("read_file", "delete_file"))
        team = RoundRobinGroupChat([sub], max_turns=1)
        tool: Any = AgentTool(sub) if kind == "agent" else TeamTool(team, name="reader", description="Reads.")
        agent = assistant("desk", [[Call("reader", {"task": "x"}, "c1")], "done"], [tool])
        root = world.create(SCOPE)
        protect(agent, root, actions=ACTIONS, scopes={"reader": ["read:file"]})
        result = came_of(asyncio.run(stream(agent)))
        assert (result.final, desk.what) == ("done", ["read a"])
        assert f"/{root.name}.reader/" in desk.done[0][0]
        root.close()
        expected = {
            (root.id, "use:tool:reader", "success"),
            (desk.done[0][0], "read:file:a", "success"),
            (desk.done[0][0], "delete:file:a", "denied"),
        }
        world.eventually(lambda: set(world.records(root)) == expected, lambda: world.records(root))

    def test_a_revoked_identity_ends_the_turn_at_a_workbench_too(self, world: World, desk: Desk) -> None:
        turns: list[Turn] = [[Call("lookup", {"word": "a"}, "c1")], "done"]
        root = world.create(SCOPE)
        agent = protect(assistant("desk", turns, workbench=Remote(desk)), root, actions=ACTIONS)
        world.revoke(root)
        with pytest.raises(RunEnded):
            asyncio.run(agent.run(task="go"))
        assert desk.what == []
        root.close()

    def test_tools_of_a_workbench_that_are_known_only_while_it_runs_are_guarded(self, world: World, desk: Desk) -> None:
        turns: list[Turn] = [[Call("lookup", {"word": "a"}, "c1"), Call("delete_file", {"path": "a"}, "c2")], "done"]
        workbench = Remote(desk)
        root = world.create(SCOPE)
        agent = protect(assistant("desk", turns, workbench=workbench), root, actions=ACTIONS)
        result = came_of(asyncio.run(agent.run(task="go")))
        assert (result.final, desk.done) == ("done", [(root.id, "lookup")])
        assert result.results["c2"][1]
        assert "TrustWarden refused 'delete_file'" in asyncio.run(workbench.call_tool("delete_file")).to_text()
        root.close()

    def test_an_answer_of_a_workbench_that_says_it_failed_is_a_failure_in_the_ledger(
        self, world: World, desk: Desk
    ) -> None:
        turns: list[Turn] = [[Call("break_it", {}, "c1")], "done"]
        root = world.create([*SCOPE, "use:tool:break_it"])
        agent = protect(assistant("desk", turns, workbench=Remote(desk)), root, actions=ACTIONS)
        result = came_of(asyncio.run(agent.run(task="go")))
        assert (result.results["c1"][1], desk.done) == (True, [(root.id, "break_it")])
        world.expect_records(root, [(root.id, "use:tool:break_it", "failure")])
        root.close()

    def test_what_cannot_be_guarded_is_refused(self, desk: Desk) -> None:
        executor: Any = CodeExecutorAgent("executor", code_executor=None)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="runs code"):
            protect(executor)
        with pytest.raises(ValueError, match="runtime of yours"):
            protect(RoundRobinGroupChat([assistant("one", [])], runtime=SingleThreadedAgentRuntime()))
        with pytest.raises(ValueError, match="name its scope"):
            protect(RoundRobinGroupChat([assistant("one", [], workbench=Remote(desk))]))
        same_name = AgentTool(assistant("desk", []))
        with pytest.raises(ValueError, match="two agents"):
            protect(assistant("desk", [], [same_name]))

    def test_a_tool_that_came_later_is_not_called(self, world: World, desk: Desk) -> None:
        agent = assistant("desk", [[Call("lookup", {"word": "a"}, "c1")], "done"], desk.pick("read_file"))
        root = world.create(SCOPE)
        protect(agent, root, actions=ACTIONS)
        workbench: Any = agent._workbench[0]  # pyright: ignore[reportPrivateUsage]
        workbench._tools.append(FunctionTool(desk.tools()["lookup"], description="Looks up."))
        result = came_of(asyncio.run(agent.run(task="go")))
        assert (result.final, desk.what) == ("done", [])
        assert "TrustWarden refused 'lookup' (denied)" in result.results["c1"][0]
        root.close()
