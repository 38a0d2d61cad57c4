"""CrewAI, as it comes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from contract import ToolObjects
from crewai import Agent, BaseLLM, Crew, Process, Task
from crewai.hooks import HookAborted
from crewai.mcp import MCPServerStdio
from crewai.state.checkpoint_config import CheckpointConfig
from crewai.tools import BaseTool, tool
from crewai.tools.tool_failure import ToolFailure
from crewai.utilities.string_utils import sanitize_tool_name
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, Result, ToolHarness, Turn
from pydantic import PrivateAttr
from questions import WaitingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters.crewai import protect

ASK = "ask_question_to_coworker"
DELEGATE = "delegate_work_to_coworker"


class ScriptedLLM(BaseLLM):
    """Says its turns one after the other, and keeps what it was told."""

    _left: list[Turn] = PrivateAttr(default_factory=list)
    _told: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    def call(self, messages: Any, tools: Any = None, *_: Any, **__: Any) -> Any:
        self._told.extend(message for message in messages if message["role"] == "tool" and message not in self._told)
        turn = self._left.pop(0)
        if isinstance(turn, str):
            return turn
        return [
            {"id": each.id, "type": "function", "function": {"name": each.tool, "arguments": json.dumps(each.args)}}
            for each in turn
        ]

    def supports_function_calling(self) -> bool:
        return True


def model_of(turns: Any) -> ScriptedLLM:
    model = ScriptedLLM(model="scripted")
    model._left = list(turns)
    return model


def agent_of(role: str, turns: Any, tools: Any = (), **options: Any) -> Agent:
    made = [each if isinstance(each, BaseTool) else tool(each) for each in tools]
    return Agent(role=role, goal="work", backstory="none", llm=model_of(turns), tools=made, **options)


class CrewHarness(ToolHarness):
    modes: ClassVar = ("sync", "async")

    def make(self, definition: Definition) -> Any:
        offered = [self._offer(self.make(sub)) for sub in definition.subs]
        return agent_of(definition.name, definition.turns, [*definition.tools, *offered])

    def _offer(self, sub: Any) -> BaseTool:
        def ask(question: str) -> str:
            """Asks."""
            return str(sub.kickoff(question).raw)

        ask.__name__ = f"ask_{sub.role}"
        return tool(ask)

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        return protect(agent, identity, **options)

    def run(self, agent: Any, mode: str) -> Result:
        output = agent.kickoff("go") if mode == "sync" else asyncio.run(agent.kickoff_async("go"))
        failures = [record.failure.message for record in agent.last_tool_failures]
        told = {message["tool_call_id"]: str(message["content"]) for message in agent.llm._told}
        return Result(
            results={call: (text, any(failure in text for failure in failures)) for call, text in told.items()},
            final=output.raw,
        )

    def invoke(self, agent: Any, tool: str, args: Mapping[str, Any]) -> str:
        [found] = [each for each in agent.tools if each.name == tool]
        result = found.run(**args)
        if isinstance(result, ToolFailure):
            raise RuntimeError(result.message)
        return str(result)


class TestCrewAi(WaitingContract, ToolObjects):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        yield CrewHarness()

    @pytest.fixture(params=["sync", "async"])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_members_of_a_crew_are_children_of_it_also_where_one_asks_another(self, world: World, desk: Desk) -> None:
        helped = [Call(ASK, {"question": "b", "context": "none", "coworker": "reader"}, "w1")]
        writer = agent_of(
            "writer",
            [helped, [Call("write_file", {"path": "notes"}, "w2")], "written"],
            desk.pick("write_file"),
            allow_delegation=True,
        )
        reader = agent_of("reader", [*reading("a"), *reading("b")], desk.pick("read_file"))
        tasks = [task_of("read", reader), task_of("write", writer)]
        root = world.create(["read:file", "write:file", "use:tool"])
        crew = protect(Crew(agents=[writer, reader], tasks=tasks, verbose=False), root, actions=ACTIONS)
        assert result_of(crew) == "written"
        who = {what: agent for agent, what in desk.done}
        assert len(set(who.values())) == 3
        kinds = [(event["kind"], event["agent_identity"]) for event in world.events(root)]
        assert [("issue", agent) in kinds for agent in who.values()] == [True] * 3
        born = {event["agent_identity"]: event for event in world.events(root) if event["kind"] == "issue"}
        assert born[who["read b"]]["parent_agent_id"] == born[who["write notes: nothing"]]["agent_id"]
        assert born[who["read a"]]["parent_agent_id"] == root.agent_id
        root.close()
        world.eventually(
            lambda: [event["kind"] for event in world.events(root)].count("revoke") == 3, lambda: world.events(root)
        )

    def test_a_manager_that_the_crew_makes_is_guarded_and_its_workers_are_below_it(
        self, world: World, desk: Desk
    ) -> None:
        delegated = [Call(DELEGATE, {"task": "read", "context": "none", "coworker": "reader"}, "m1")]
        reader = agent_of("reader", reading("a"), desk.pick("read_file"))
        manager = model_of([delegated, "managed"])
        crew = Crew(agents=[reader], tasks=[task_of("read", None)], process=Process.hierarchical, manager_llm=manager)
        root = world.create([*SCOPE, "list:files"])
        assert result_of(protect(crew, root, actions=ACTIONS)) == "managed"
        [(who, what)] = desk.done
        assert what == "read a"
        born = {event["agent_identity"]: event for event in world.events(root) if event["kind"] == "issue"}
        assert len(born[who]["chain"]) == 4
        root.close()
        recorded = [action for _, action, _ in world.records(root)]
        assert f"use:tool:{DELEGATE}" in recorded

    def test_copies_of_a_crew_and_tasks_at_once_are_guarded_too(self, world: World, desk: Desk) -> None:
        readers = [agent_of(f"reader-{index}", reading("a"), desk.pick("read_file", "delete_file")) for index in (1, 2)]
        tasks = [task_of("one", readers[0], async_execution=True), task_of("two", readers[1])]
        root = world.create(SCOPE)
        scopes = {"reader-1": ["read:file"], "reader-2": ["read:file"]}
        crew = protect(Crew(agents=[*readers], tasks=tasks), root, actions=ACTIONS, scopes=scopes)
        outputs: Any = crew.kickoff_for_each([{}])
        [output] = outputs
        assert output.raw == "have read"
        assert (sorted(desk.what), len({who for who, _ in desk.done})) == (["read a", "read a"], 2)
        root.close()

    @pytest.mark.parametrize("way", ["akickoff", "kickoff_async", "stream"])
    def test_every_way_to_start_a_crew_leads_through_the_guard(self, world: World, desk: Desk, way: str) -> None:
        turns = [[Call("delete_file", {"path": "a"}, "d1")], *reading("a")]
        reader = agent_of("reader", turns, desk.pick("read_file", "delete_file"))
        root = world.create(SCOPE)
        crew = Crew(agents=[reader], tasks=[task_of("read", reader)], stream=way == "stream")
        protect(crew, root, actions=ACTIONS, scopes={"reader": ["read:file"]})
        if way == "stream":
            streaming: Any = crew.kickoff()
            assert list(streaming) is not None
            output = streaming.result
        else:
            output = asyncio.run(getattr(crew, way)())
        assert (output.raw, desk.what) == ("have read", ["read a"])
        assert [failure.failure.details for failure in reader.last_tool_failures] == [{"trustwarden": "denied"}]
        root.close()

    def test_a_model_that_calls_tools_by_text_is_guarded_too(self, world: World, desk: Desk) -> None:
        class TextLLM(ScriptedLLM):
            def supports_function_calling(self) -> bool:
                return False

        model = TextLLM(model="scripted")
        said = 'Thought: I must\nAction: {}\nAction Input: {{"path": "a"}}'
        model._left = [said.format("delete_file"), said.format("read_file"), "Thought: I know\nFinal Answer: done"]
        tools = [tool(each) for each in desk.pick("read_file", "delete_file")]
        agent = Agent(role="desk", goal="work", backstory="none", llm=model, tools=tools)
        root = world.create(SCOPE)
        assert result_of(protect(agent, root, actions=ACTIONS), "go") == "done"
        assert desk.done == [(root.id, "read a")]
        root.close()
        world.expect_records(root, [(root.id, "delete:file:a", "denied"), (root.id, "read:file:a", "success")])

    def test_nothing_is_answered_out_of_a_cache(self, world: World, desk: Desk) -> None:
        first = agent_of("first", reading("a"), desk.pick("read_file"))
        second = agent_of("second", reading("a"), first.tools, cache=True)
        root = world.create(SCOPE)
        crew = Crew(agents=[first, second], tasks=[task_of("one", first), task_of("two", second)], cache=True)
        protect(crew, root, actions=ACTIONS, scopes={"first": ["read:file"], "second": ["use:tool"]})
        crew.kickoff()
        assert desk.what == ["read a"]
        root.close()

    def test_tools_of_an_mcp_server_are_guarded(self, world: World, desk: Desk, tmp_path: Path) -> None:
        script = tmp_path / "server.py"
        script.write_text(MCP_SERVER)
        log = tmp_path / "log"
        server = MCPServerStdio(command=sys.executable, args=[str(script)])
        agent = agent_of("desk", [], mcps=[server])
        # By their names on the server: CrewAI cuts long names, and ends them in a digest of the server's command.
        tools: list[Any] = list(agent.get_mcp_tools([server]))
        named = {each.original_tool_name: sanitize_tool_name(each.name) for each in tools}
        note, wipe = names = [named["note"], named["wipe"]]
        model: Any = agent.llm
        model._left = [[Call(name, {"path": str(log)}, name) for name in names], "done"]
        root = world.create(["write:log", "use:mail"])
        protect(agent, root, actions={note: "write:log", wipe: "delete:log"})
        assert result_of(agent, "go") == "done"
        assert log.read_text() == "noted"
        root.close()
        recorded = [(action, outcome) for _, action, outcome in world.records(root)]
        assert sorted(recorded) == [("delete:log", "denied"), ("write:log", "success")]

    def test_what_cannot_be_guarded_is_refused(self, world: World) -> None:
        root = world.create(SCOPE)
        hidden = agent_of("hidden", ["done"], mcps=["https://mcp.test/tools"])
        with pytest.raises(ValueError, match="known only while it runs"):
            protect(Crew(agents=[hidden], tasks=[task_of("one", hidden)]), root)
        same = [agent_of("same", ["done"]) for _ in range(2)]
        with pytest.raises(ValueError, match="two agents have the role"):
            protect(Crew(agents=[*same], tasks=[task_of("one", same[0])]), root)

        class Sideways(BaseTool):
            name: str = "sideways"
            description: str = "Goes around."

            def _run(self, path: str) -> str:
                return path

            def run(self, *_: Any, **options: Any) -> Any:
                return self._run(**options)

        with pytest.raises(ValueError, match="has ways of its own"):
            protect(agent_of("desk", ["done"], [Sideways()]), root)
        root.close()

    def test_tools_at_the_vendor_and_what_is_restored_are_refused(self, world: World) -> None:
        class HostedLLM(ScriptedLLM):
            builtin_tools: list[str] | None = None

        root = world.create(SCOPE)
        model = HostedLLM(model="scripted", builtin_tools=["web_search"])
        desk = Agent(role="desk", goal="work", backstory="none", llm=model)
        with pytest.raises(ValueError, match="run at the model's vendor"):
            protect(desk, root)
        model.builtin_tools = None
        model._left = ["never said"]
        protect(desk, root)
        model.builtin_tools = ["web_search"]
        with pytest.raises(HookAborted, match="run at the model's vendor"):
            desk.kickoff("go")
        assert model._left == ["never said"]
        saved = CheckpointConfig(restore_from="before.json")
        other = agent_of("other", ["done"])
        crew = protect(Crew(agents=[other], tasks=[task_of("one", other)]), root)
        with pytest.raises(ValueError, match="restore it first"):
            crew.kickoff(from_checkpoint=saved)
        with pytest.raises(ValueError, match="restore it first"):
            desk.kickoff("go", from_checkpoint=saved)
        root.close()


def result_of(work: Any, *inputs: Any) -> str:
    return str(work.kickoff(*inputs).raw)


def reading(path: str) -> list[Turn]:
    return [[Call("read_file", {"path": path}, f"r-{path}")], "have read"]


def task_of(name: str, agent: Any, **options: Any) -> Task:
    return Task(name=name, description=name, expected_output="a word", agent=agent, **options)


MCP_SERVER = """
import pathlib
from mcp.server.fastmcp import FastMCP

server = FastMCP("files")

@server.tool()
def note(path: str) -> str:
    pathlib.Path(path).write_text("noted")
    return "noted"

@server.tool()
def wipe(path: str) -> str:
    pathlib.Path(path).write_text("wiped")
    return "wiped"

server.run()
"""
