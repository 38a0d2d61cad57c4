"""Which run goes on: the one that its own caller left waiting, and never somebody else's."""

from __future__ import annotations

from live import LiveServer
from trustwarden import AgentIdentity
from trustwarden.adapters._agent_run import AgentSpec, acting_as
from trustwarden.adapters._core import Guard

SPEC = AgentSpec("reader", ("read:transactions",))


def test_what_waits_is_gone_on_with_by_its_own_caller_alone(live: LiveServer, orchestrator: AgentIdentity) -> None:
    guard = Guard(None)
    ticket = live.ticket("another-desk", ["read:transactions", "write:ledger"])
    with AgentIdentity.create(name="another-desk", ticket=ticket) as other:
        with acting_as(orchestrator):
            run = guard.open(SPEC, "thread")
            # As if one below it waited for a human.
            run.waiting_children.add(run)
            guard.close(SPEC, run, "thread")
        with acting_as(other):
            theirs = guard.open(SPEC, "thread")
            assert theirs.identity.chain[:-1] == other.chain
            guard.close(SPEC, theirs)
        with acting_as(orchestrator):
            assert guard.open(SPEC, "thread") is run
            run.waiting_children.clear()
            guard.close(SPEC, run)


def test_a_sub_agent_that_runs_by_itself_is_the_top_agents_child(orchestrator: AgentIdentity) -> None:
    guard = Guard(orchestrator)
    root = guard.root_spec_of("desk", ["search"])
    assert guard.open(root).identity is orchestrator
    run = guard.open(SPEC)
    assert run.identity.chain[:-1] == orchestrator.chain
    assert run.identity.scope == SPEC.scope
    guard.close(SPEC, run)
