from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import cast

import pytest
import trio

from live import LiveServer
from trustwarden import AgentIdentity, ApprovalRequiredError, DeniedError, TrustWardenError, act
from trustwarden._json import Json, JsonObject
from trustwarden.session import AgentSession

RESOURCE = "file://reports/q3"


def outcome_of(live: LiveServer, event_id: str) -> str:
    (event,) = [event for event in live.events() if event["event_id"] == event_id]
    return str(event["outcome"])


def last_event(agent: AgentIdentity) -> str:
    return agent.receipts[-1].receipt.event_id


def test_an_act_is_decided_before_and_reported_after(live: LiveServer, orchestrator: AgentIdentity) -> None:
    with orchestrator.act("write:reports", RESOURCE, {"pages": 12}) as action:
        assert outcome_of(live, action.receipt.receipt.event_id) == "pending"
    assert action.receipt.allow
    assert action.receipt.params == {"pages": 12}
    assert action.receipt.params_salt is not None
    assert outcome_of(live, last_event(orchestrator)) == "success"


def test_what_is_not_in_scope_is_not_done(live: LiveServer, orchestrator: AgentIdentity) -> None:
    with pytest.raises(DeniedError) as failed, orchestrator.act("send:mail", "smtp://mail"):
        pytest.fail("a denied act was done")
    assert failed.value.reasons == ("scope_not_covered",)
    assert not isinstance(failed.value, ApprovalRequiredError)
    assert not orchestrator.receipts[-1].allow
    assert outcome_of(live, last_event(orchestrator)) == "denied"


def test_what_raises_is_recorded_as_a_failure_and_raised(live: LiveServer, orchestrator: AgentIdentity) -> None:
    with pytest.raises(ZeroDivisionError), orchestrator.act("write:reports", RESOURCE):
        _ = 1 / 0
    assert outcome_of(live, last_event(orchestrator)) == "failure"


def test_who_goes_away_in_the_middle_has_aborted(live: LiveServer, orchestrator: AgentIdentity) -> None:
    with pytest.raises(KeyboardInterrupt), orchestrator.act("write:reports", RESOURCE):
        raise KeyboardInterrupt
    assert outcome_of(live, last_event(orchestrator)) == "aborted"


def test_a_decorated_function_is_an_action_at_each_call(live: LiveServer, orchestrator: AgentIdentity) -> None:
    @orchestrator.act("write:reports", RESOURCE)
    def write(pages: int) -> int:
        """Writes."""
        return pages + 1

    assert (write(1), write(2), write.__doc__) == (2, 3, "Writes.")
    ids = [receipt.receipt.event_id for receipt in orchestrator.receipts]
    assert len(set(ids)) == 2
    assert [outcome_of(live, event_id) for event_id in ids] == ["success", "success"]


def test_a_decorated_generator_is_an_action_from_its_first_part_to_its_end(
    live: LiveServer, orchestrator: AgentIdentity
) -> None:
    @orchestrator.act("write:reports", RESOURCE)
    def write() -> Iterator[str]:
        yield outcome_of(live, last_event(orchestrator))

    parts = write()
    assert orchestrator.receipts == ()
    assert list(parts) == ["pending"]
    assert outcome_of(live, last_event(orchestrator)) == "success"
    for _ in write():
        break
    assert outcome_of(live, last_event(orchestrator)) == "aborted"


def test_a_decorated_asynchronous_generator_is_one_too(live: LiveServer, orchestrator: AgentIdentity) -> None:
    @orchestrator.act("write:reports", RESOURCE)
    async def write() -> AsyncGenerator[str]:
        yield outcome_of(live, last_event(orchestrator))

    @orchestrator.act("send:mail", "smtp://mail")
    async def send() -> AsyncGenerator[str]:
        yield pytest.fail("a denied act was done")

    async def main() -> None:
        assert [part async for part in write()] == ["pending"]
        assert outcome_of(live, last_event(orchestrator)) == "success"
        async with aclosing(write()) as parts:
            await anext(parts)
        assert outcome_of(live, last_event(orchestrator)) == "aborted"
        with pytest.raises(DeniedError):
            await anext(send())

    asyncio.run(main())


def test_work_that_would_begin_after_the_act_has_ended_is_refused(
    live: LiveServer, orchestrator: AgentIdentity
) -> None:
    async def write_later() -> None:
        pytest.fail("this was done after the end of its act")

    guarded = orchestrator.act("write:reports", RESOURCE)(lambda: write_later())
    with pytest.raises(TypeError):
        _ = guarded()
    assert outcome_of(live, last_event(orchestrator)) == "failure"


def test_asyncio_acts_alike(live: LiveServer, orchestrator: AgentIdentity) -> None:
    @orchestrator.act("write:reports", RESOURCE)
    async def write(pages: int) -> int:
        await asyncio.sleep(0)
        return pages + 1

    async def main() -> None:
        async with orchestrator.act("write:reports", RESOURCE) as action:
            assert action.receipt.allow
        with pytest.raises(DeniedError):
            async with orchestrator.act("send:mail", "smtp://mail"):
                pytest.fail("a denied act was done")
        assert await asyncio.gather(*(write(number) for number in range(4))) == [1, 2, 3, 4]

    asyncio.run(main())
    assert outcome_of(live, last_event(orchestrator)) == "success"


def test_trio_acts_alike(orchestrator: AgentIdentity) -> None:
    async def main() -> None:
        async with orchestrator.act("write:reports", RESOURCE) as action:
            assert action.receipt.allow

    trio.run(main)


def test_a_cancelled_task_leaves_no_permitted_act_without_an_end(
    live: LiveServer, orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, is_cancelled = threading.Event(), threading.Event()
    ask = act._ask  # pyright: ignore[reportPrivateUsage]

    def ask_slowly(session: AgentSession, wanted: act.SelfAction) -> object:
        permit = ask(session, wanted)
        is_asked.set()
        assert is_cancelled.wait(20)
        return permit

    monkeypatch.setattr(act, "_ask", ask_slowly)

    async def main() -> None:
        task = asyncio.create_task(orchestrator.act("write:reports", RESOURCE).__aenter__())
        while not is_asked.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        is_cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(1000):
            if outcome_of(live, last_event(orchestrator)) != "pending":
                break
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert outcome_of(live, last_event(orchestrator)) == "aborted"


def test_an_act_is_entered_once(orchestrator: AgentIdentity) -> None:
    action = orchestrator.act("write:reports", RESOURCE)
    with pytest.raises(RuntimeError):
        _ = action.receipt
    with action:
        pass
    with pytest.raises(RuntimeError), action:
        pytest.fail("a permit was used twice")


def test_a_decision_that_came_too_late_permits_nothing(
    orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0])
    monkeypatch.setattr(act, "monotonic", lambda: next(clock, 1000.0))
    with pytest.raises(TrustWardenError) as failed, orchestrator.act("write:reports", RESOURCE):
        pytest.fail("a stale decision was used")
    assert failed.value.code == "lease_expired"


def test_parameters_are_json_or_nothing_is_asked(orchestrator: AgentIdentity) -> None:
    before = len(orchestrator.receipts)
    for params in ([1], {"a": float("nan")}, {"a": object()}, {"a": b"bytes"}, {"a": 2**60}, {1: 2}, {"a": "\ud800"}):
        with (
            pytest.raises(TrustWardenError) as failed,
            orchestrator.act("write:reports", RESOURCE, cast("JsonObject", params)),
        ):
            pytest.fail("an act with odd parameters was done")
        assert failed.value.code == "json_malformed"
    deep: Json = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(TrustWardenError) as failed, orchestrator.act("write:reports", RESOURCE, {"deep": deep}):
        pytest.fail("an act with odd parameters was done")
    assert failed.value.code == "json_too_deep"
    assert len(orchestrator.receipts) == before


def test_receipts_are_kept_up_to_a_bound_and_prove_what_they_say(orchestrator: AgentIdentity) -> None:
    with orchestrator.act("write:reports", RESOURCE, job="quarter"):
        pass
    (kept,) = orchestrator.receipts
    assert (kept.action, kept.resource, kept.reasons, kept.params_salt) == ("write:reports", RESOURCE, (), None)


def test_who_has_seen_more_than_the_ledger_holds_is_told_so(live: LiveServer, orchestrator: AgentIdentity) -> None:
    session = orchestrator._session  # pyright: ignore[reportPrivateUsage]
    checkpoint = session.server.checkpoint
    note = live.read_text("/ledger/latest-checkpoint")
    newest = session.server.ledger_keys.verify_checkpoint(note)
    checkpoint.adopt(replace(newest, size=newest.size + 1_000_000, root=bytes(32)))
    told = pytest.raises(TrustWardenError, match="put back from an older copy")
    with told as refused, orchestrator.act("write:reports", RESOURCE):
        pytest.fail("it was done")
    assert refused.value.code == "checkpoint_unpublished"
