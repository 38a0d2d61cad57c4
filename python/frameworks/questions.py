"""The contract of a question to the owner: of frameworks that pause in front of a tool, and of those that do not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contract import Contract
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, PausingHarness, Turn
from world import World

from trustwarden import AgentIdentity

ASKS: list[Turn] = [[Call("send_mail", {"to": "bob"}, "c1")], "done"]
ASKS_AND_GOES_ON: list[Turn] = [ASKS[0], [Call("read_file", {"path": "a"}, "c2")], "done"]


def mailer(harness: Harness, desk: Desk, root: AgentIdentity, turns: list[Turn], **options: Any) -> Any:
    """An agent whose mail the owner is asked about."""
    agent = harness.make(Definition("desk", turns, desk.pick("send_mail", "read_file")))
    return harness.protect(agent, root, actions=ACTIONS, **options)


def expect_mail_sent_once(world: World, root: AgentIdentity) -> None:
    """The question was a denial, and its yes was worth one call."""
    root.close()
    recorded = [
        (root.id, "send:mail:bob", "denied"),
        (root.id, "send:mail:bob", "success"),
        (root.id, "read:file:a", "success"),
    ]
    world.expect_records(root, recorded)


class PausingContract(Contract):
    """For frameworks that pause in front of a tool, and go on when they are told."""

    def test_a_question_pauses_the_framework_and_the_owners_yes_is_worth_the_call_once(
        self, world: World, harness: PausingHarness, desk: Desk, mode: str
    ) -> None:
        root = world.create(SCOPE)
        agent = mailer(harness, desk, root, ASKS_AND_GOES_ON)
        paused = harness.run(agent, mode)
        question = paused.question
        assert question is not None
        shown = {name: question[name] for name in ("agent", "tool", "action", "args")}
        assert shown == {"agent": root.id, "tool": "send_mail", "action": "send:mail:bob", "args": {"to": "bob"}}
        assert desk.what == []
        world.approve(str(question["request"]))
        result = harness.resume(agent, paused, approved=True)
        assert (result.final, desk.what) == ("done", ["send bob", "read a"])
        expect_mail_sent_once(world, root)

    def test_the_frameworks_yes_without_the_owners_is_no_permission(
        self, world: World, harness: PausingHarness, desk: Desk
    ) -> None:
        root = world.create(SCOPE)
        agent = mailer(harness, desk, root, ASKS, approval_timeout=0.05)
        result = harness.resume(agent, harness.run(agent, harness.modes[0]), approved=True)
        assert (result.final, desk.what) == ("done", [])
        assert "(approval_expired)" in result.results["c1"][0]
        root.close()

    def test_the_frameworks_no_is_told_to_the_agent(self, world: World, harness: PausingHarness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = mailer(harness, desk, root, ASKS)
        result = harness.resume(agent, harness.run(agent, harness.modes[0]), approved=False)
        assert (result.final, desk.what) == ("done", [])
        root.close()


class WaitingContract(Contract):
    """For frameworks without a pause in front of a tool: the call itself waits for the owner, and has a bound."""

    def test_a_call_waits_for_the_owners_yes_which_is_worth_it_once(
        self, world: World, harness: Harness, desk: Desk, mode: str
    ) -> None:
        root = world.create(SCOPE)
        agent = mailer(harness, desk, root, ASKS_AND_GOES_ON)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(harness.run, agent, mode)
            request = world.waiting_question(root)
            assert desk.what == []
            world.approve(request)
            result = running.result(60)
        assert (result.final, desk.what) == ("done", ["send bob", "read a"])
        expect_mail_sent_once(world, root)

    def test_a_call_that_nobody_answers_for_is_refused(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = mailer(harness, desk, root, ASKS, approval_timeout=0.05)
        result = harness.run(agent, harness.modes[0])
        assert (result.final, desk.what) == ("done", [])
        assert "(approval_expired)" in result.results["c1"][0]
        root.close()

    def test_the_owners_no_is_told_to_the_agent(self, world: World, harness: Harness, desk: Desk) -> None:
        root = world.create(SCOPE)
        agent = mailer(harness, desk, root, ASKS)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(harness.run, agent, harness.modes[0])
            world.approve(world.waiting_question(root), answer="deny")
            result = running.result(60)
        assert (result.final, desk.what) == ("done", [])
        assert "(approval_denied)" in result.results["c1"][0]
        root.close()
