"""What every adapter must do, once: each framework runs these tests with its own agents, unmodified, and a fake model.

What a question to the owner does is in `questions.py`: it depends on what the framework can do about it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, ToolHarness, Turn, reader
from world import World

from trustwarden import TrustWardenError
from trustwarden.adapters._agent_run import AgentRun, RunEnded, acting_as, current_identity

LONG_SECONDS = 120
"""Longer than a stop takes on any machine."""


class Contract:
    """The tests; subclasses have a fixture `harness`."""

    @pytest.fixture
    def desk(self) -> Desk:
        return Desk()

    @pytest.fixture(params=["sync", "async", "stream"])
    def mode(self, request: pytest.FixtureRequest, harness: Harness) -> str:
        mode = str(request.param)
        # What a framework does not have cannot be tested; the harness says so in one place.
        return mode if mode in harness.modes else harness.modes[0]

    def test_a_call_is_recorded_and_a_refusal_is_the_frameworks_tool_error(
        self, world: World, harness: Harness, desk: Desk, mode: str
    ) -> None:
        turns: list[Turn] = [
            [Call("read_file", {"path": "a.txt"}, "c1")],
            [Call("write_file", {"path": "secrets"}, "c2")],
            [Call("lookup", {"word": "law"}, "c3")],
            "done",
        ]
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", turns, desk.pick("read_file", "write_file", "lookup")))
        harness.protect(agent, root, actions=ACTIONS)
        result = harness.run(agent, mode)
        assert (result.final, desk.what) == ("done", ["read a.txt", "lookup law"])
        assert {who for who, _ in desk.done} == {root.id}
        text, is_error = result.results["c2"]
        assert is_error is harness.refusal_is_marked
        assert f"TrustWarden refused '{harness.named('write_file')}' (denied)" in text
        assert result.results["c1"] == ("did read a.txt", False)
        root.close()
        recorded = [
            (root.id, "read:file:a.txt", "success"),
            (root.id, "write:file:secrets", "denied"),
            (root.id, "use:tool:lookup", "success"),
        ]
        world.expect_records(root, recorded)

    def test_a_sub_agent_is_a_child_of_its_caller_with_less_and_ends_with_its_run(
        self, world: World, harness: Harness, desk: Desk, mode: str
    ) -> None:
        fetcher = Definition(
            "fetcher", [[Call("read_file", {"path": "b.txt"}, "f1")], "fetched"], desk.pick("read_file")
        )
        researcher = Definition(
            "researcher",
            [[Call("ask_fetcher", {"question": "b"}, "r1"), Call("lookup", {"word": "b"}, "r2")], "found"],
            desk.pick("lookup"),
            [fetcher],
        )
        root = world.create(SCOPE)
        agent = harness.make(
            Definition("desk", [[Call("ask_researcher", {"question": "b"}, "c1")], "done"], (), [researcher])
        )
        harness.protect(agent, root, actions=ACTIONS)
        result = harness.run(agent, mode)
        assert (result.final, sorted(desk.what)) == ("done", ["lookup b", "read b.txt"])
        who = {what: agent_id for agent_id, what in desk.done}
        assert len({root.id, *who.values()}) == 3

        def births() -> dict[str, dict[str, Any]]:
            return {str(event["agent_identity"]): event for event in world.events(root) if event["kind"] == "issue"}

        world.eventually(lambda: set(who.values()) <= set(births()), births)
        issued = births()
        assert [len(issued[who[what]]["chain"]) for what in ("lookup b", "read b.txt")] == [3, 4]
        assert issued[who["read b.txt"]]["parent_agent_id"] == issued[who["lookup b"]]["agent_id"]
        assert issued[who["lookup b"]]["parent_agent_id"] == root.agent_id
        root.close()
        recorded = (who["read b.txt"], "read:file:b.txt", "success")
        world.eventually(lambda: recorded in world.records(root), lambda: world.records(root))
        world.eventually(
            lambda: [event["kind"] for event in world.events(root)].count("revoke") == 2, lambda: world.events(root)
        )

    def test_each_run_of_a_sub_agent_is_an_instance_of_its_own(
        self, world: World, harness: Harness, desk: Desk
    ) -> None:
        turns: list[Turn] = [[Call("ask_reader", {"question": "x"}, f"c{index}")] for index in range(2)]
        sub = reader(
            desk,
            [Call("read_file", {"path": "1"}, "r1")],
            "one",
            [Call("read_file", {"path": "2"}, "r2")],
            "two",
        )
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", [*turns, "done"], (), [sub]))
        harness.protect(agent, root, actions=ACTIONS)
        assert harness.run(agent, harness.modes[0]).final == "done"
        first, second = [who for who, _ in desk.done]
        assert first != second
        assert first.rpartition("/")[0] == second.rpartition("/")[0]
        root.close()

    def test_a_sub_agent_may_not_do_what_only_its_caller_may(self, world: World, harness: Harness, desk: Desk) -> None:
        sub = Definition(
            "writer",
            [[Call("write_file", {"path": "notes"}, "w1"), Call("read_file", {"path": "a"}, "w2")], "sub done"],
            desk.pick("write_file", "read_file"),
        )
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", [[Call("ask_writer", {"question": "x"}, "c1")], "done"], (), [sub]))
        harness.protect(agent, root, actions=ACTIONS, scopes={"writer": ["read:file"]})
        assert harness.run(agent, harness.modes[0]).results["c1"] == ("sub done", False)
        assert desk.what == ["read a"]
        root.close()

    def test_a_sub_agent_that_would_get_all_of_its_callers_scope_does_not_start(
        self, world: World, harness: Harness, desk: Desk
    ) -> None:
        sub = reader(desk, [Call("read_file", {"path": "a"}, "r1")], "sub done")
        root = world.create(["read:file", "use:tool"])
        agent = harness.make(Definition("desk", [[Call("ask_reader", {"question": "x"}, "c1")], "done"], (), [sub]))
        harness.protect(agent, root, actions=ACTIONS, scopes={"reader": ["read:file", "use:tool"]})
        result = harness.run(agent, harness.modes[0])
        assert desk.what == []
        assert "(scope_not_subset)" in result.results["c1"][0]
        root.close()
        world.expect_records(root, [(root.id, "use:tool:ask_reader", "failure")])

    def test_stopping_the_parent_stops_its_child_in_mid_run(
        self, world: World, harness: Harness, desk: Desk, mode: str
    ) -> None:
        root = world.create(SCOPE)

        def stop_everything(word: str) -> str:
            """An operator stops the top agent now."""
            world.revoke(root)
            return desk.note("stopped")

        sub = Definition(
            "reader",
            [[Call("stop_everything", {"word": "now"}, "r1")], [Call("read_file", {"path": "a"}, "r2")], "sub done"],
            [*desk.pick("read_file"), stop_everything],
        )
        turns: list[Turn] = [
            [Call("ask_reader", {"question": "x"}, "c1")],
            [Call("lookup", {"word": "a"}, "c2")],
            "done",
        ]
        agent = harness.make(Definition("desk", turns, desk.pick("lookup"), [sub]))
        harness.protect(agent, root, actions=ACTIONS)
        assert run_ended_by(harness, agent, mode).identity is root
        assert desk.what == ["stopped"]
        root.close()

    def test_a_stop_cuts_the_tool_that_is_at_work(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)

        async def wait_for_long(word: str) -> str:
            """An operator stops the agent while this waits, and may hear of it later than this does."""
            try:
                await asyncio.to_thread(world.revoke, root)
                await asyncio.sleep(LONG_SECONDS)
            except asyncio.CancelledError:
                desk.note("cut")
                raise
            return desk.note("waited")

        turns: list[Turn] = [[Call("wait_for_long", {"word": "now"}, "c1")], "done"]
        agent = harness.make(Definition("desk", turns, [wait_for_long]))
        harness.protect(agent, root, actions=ACTIONS)
        mode = "async" if "async" in harness.modes else harness.modes[0]
        assert run_ended_by(harness, agent, mode).identity is root
        assert desk.what == ["cut"]
        root.close()
        world.expect_records(root, [(root.id, "use:tool:wait_for_long", "aborted")])

    def test_what_a_thread_gives_back_after_a_stop_is_refused(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)

        def finish_anyway(word: str) -> str:
            """An operator stops the agent, and this comes to its end all the same."""
            identity, stopped = current_identity(), threading.Event()
            assert identity is not None
            identity.when_stopped(stopped.set)
            world.revoke(root)
            assert stopped.wait(LONG_SECONDS)
            return desk.note("finished")

        turns: list[Turn] = [[Call("finish_anyway", {"word": "now"}, "c1")], "done"]
        agent = harness.make(Definition("desk", turns, [finish_anyway]))
        harness.protect(agent, root, actions=ACTIONS)
        run_ended_by(harness, agent, harness.modes[0])
        root.close()
        world.expect_records(root, [(root.id, "use:tool:finish_anyway", "aborted")])

    def test_stopping_a_child_leaves_its_parent_at_work(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)

        def stop_me(word: str) -> str:
            """An operator stops this agent now."""
            identity = current_identity()
            assert identity is not None
            world.revoke(identity)
            return desk.note("stopped")

        sub = Definition(
            "reader",
            [[Call("stop_me", {"word": "now"}, "r1")], [Call("read_file", {"path": "a"}, "r2")], "sub done"],
            [*desk.pick("read_file"), stop_me],
        )
        turns: list[Turn] = [
            [Call("ask_reader", {"question": "x"}, "c1")],
            [Call("lookup", {"word": "a"}, "c2")],
            "done",
        ]
        agent = harness.make(Definition("desk", turns, desk.pick("lookup"), [sub]))
        harness.protect(agent, root, actions=ACTIONS)
        result = harness.run(agent, harness.modes[0])
        assert (result.final, desk.what) == ("done", ["stopped", "lookup a"])
        assert f"TrustWarden refused '{harness.named('ask_reader')}'" in result.results["c1"][0]
        root.close()

    def test_a_tool_that_raises_has_an_outcome(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", [[Call("fail", {"word": "now"}, "c1")], "done"], desk.pick("fail")))
        harness.protect(agent, root, actions=ACTIONS)
        try:
            harness.run(agent, harness.modes[0])
        except Exception as error:
            # Some frameworks give a tool's error to the model, some end the run with it.
            assert "now" in str(error)
        root.close()
        world.expect_records(root, [(root.id, "use:tool:fail", "failure")])

    def test_calls_made_at_once_are_decided_one_by_one(self, world: World, harness: Harness, desk: Desk) -> None:
        calls = [Call("write_file", {"path": path}, path) for path in ("notes", "secrets", "notes")]
        calls = [Call(call.tool, call.args, f"{call.id}{index}") for index, call in enumerate(calls)]
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", [calls, "done"], desk.pick("write_file")))
        harness.protect(agent, root, actions=ACTIONS)
        result = harness.run(agent, harness.modes[-1])
        assert desk.what == ["write notes: nothing"] * 2
        assert "refused" in result.results["secrets1"][0]
        root.close()

    def test_a_tool_without_a_row_is_named_or_refused(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", [[Call("lookup", {"word": "a"}, "c1")], "done"], desk.pick("lookup")))
        harness.protect(agent, root, actions=ACTIONS, unmapped="deny")
        result = harness.run(agent, harness.modes[0])
        assert (result.final, desk.what) == ("done", [])
        assert "refused" in result.results["c1"][0]
        root.close()

    def test_an_argument_that_is_no_name_is_refused(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)
        calls = [Call("read_file", {"path": path}, f"c{index}") for index, path in enumerate(("../etc", "a b", "/a"))]
        agent = harness.make(Definition("desk", [calls, "done"], desk.pick("read_file")))
        harness.protect(agent, root, actions=ACTIONS)
        result = harness.run(agent, harness.modes[0])
        assert (result.final, desk.what) == ("done", [])
        assert all("(action_malformed)" in text for text, _ in result.results.values())
        root.close()

    def test_an_agent_without_an_identity_runs_inside_another_or_not_at_all(
        self, world: World, harness: Harness, desk: Desk
    ) -> None:
        agent = harness.make(reader(desk, [Call("read_file", {"path": "a"}, "c1")], "done"))
        harness.protect(agent, None, actions=ACTIONS)
        with pytest.raises(BaseException) as failed:
            harness.run(agent, harness.modes[0])
        assert code_in(failed.value) == "agent_missing"
        assert desk.what == []
        inside = harness.make(reader(desk, [Call("read_file", {"path": "a"}, "c1")], "done"))
        harness.protect(inside, None, actions=ACTIONS)
        root = world.create(SCOPE)
        with acting_as(root):
            assert harness.run(inside, harness.modes[0]).final == "done"
        [(who, what)] = desk.done
        assert what == "read a"
        assert f"/{root.name}.reader/" in who
        root.close()

    def test_an_agent_is_protected_once(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = harness.protect(harness.make(reader(desk, "done")), root)
        with pytest.raises(ValueError, match="protected already"):
            harness.protect(agent, root)
        root.close()


class ToolObjects:
    """For frameworks whose tools are objects that anybody may call."""

    def test_the_tool_object_itself_is_guarded(self, world: World, harness: ToolHarness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", ["done"], desk.pick("read_file", "delete_file")))
        harness.protect(agent, root, actions=ACTIONS)
        with pytest.raises(Exception, match="agent_missing"):
            harness.invoke(agent, "read_file", {"path": "a"})
        assert desk.what == []
        with acting_as(root):
            assert "did read a" in harness.invoke(agent, "read_file", {"path": "a"})
            with pytest.raises(Exception, match="TrustWarden refused 'delete_file'"):
                harness.invoke(agent, "delete_file", {"path": "a"})
        assert desk.done == [(root.id, "read a")]
        root.close()

    def test_a_bare_thread_acts_as_nobody(self, world: World, harness: ToolHarness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = harness.make(Definition("desk", ["done"], desk.pick("read_file")))
        harness.protect(agent, root, actions=ACTIONS)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                harness.invoke(agent, "read_file", {"path": "a"})
            except Exception as error:
                failures.append(error)

        with acting_as(root):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert (len(failures), desk.what) == (1, [])
        root.close()


def chain_of(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or current in found:
            continue
        found.append(current)
        inner = list(getattr(current, "exceptions", ()))
        waiting.extend([current.__cause__, current.__context__, *inner])
    return found


def run_ended_by(harness: Harness, agent: Any, mode: str) -> AgentRun:
    """Runs an agent that is stopped in mid-run; the run that the stop ended."""
    with pytest.raises(BaseException) as failed:
        harness.run(agent, mode)
    ended = next((each for each in chain_of(failed.value) if isinstance(each, RunEnded)), None)
    assert ended is not None
    return ended.run


def code_in(error: BaseException) -> str | None:
    return next((each.code for each in chain_of(error) if isinstance(each, TrustWardenError)), None)
