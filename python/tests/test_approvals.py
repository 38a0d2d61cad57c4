from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from live import ROOT, TRUST_DOMAIN, LiveServer
from trustwarden import AgentIdentity, ApprovalRequiredError, TrustWardenError
from trustwarden.approvals import refusal_of
from trustwarden.dsse import issue_envelope

RESOURCE = "db://rows/7"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose policy asks the owner before rows are moved."""
    policies = tmp_path_factory.mktemp("asking") / "policies"
    shutil.copytree(ROOT / "policies", policies)
    path: Path = policies / "trustwarden/data.json"
    data: dict[str, Any] = json.loads(path.read_text())
    data["policy"]["asks"] = {"move": {"at": ["service", "self"], "why": "Rows do not come back."}}
    data["policy"]["classes"]["move"] = "B"
    path.write_text(json.dumps(data))
    server = LiveServer(env={"TRUSTWARDEN_POLICY_DIR": str(policies)})
    yield server
    server.close()


@pytest.fixture
def mover(asking: LiveServer) -> Iterator[AgentIdentity]:
    with AgentIdentity.create(name="mover", ticket=asking.ticket("mover", ["move:rows"])) as agent:
        yield agent


def answer(live: LiveServer, request: str, said: str) -> None:
    """The owner's signed answer, as soon as the request is there."""
    shown: list[dict[str, Any]] = []
    for _ in range(1000):
        shown = [view for view in live.admin("GET", "/v1/approvals")["approvals"] if view["id"] == request]
        if shown:
            break
        time.sleep(0.01)
    (view,) = shown
    now = int(time.time())
    question = {
        "id": view["id"],
        "intent_sha256": view["intent_sha256"],
        "owner": view["owner_id"],
        "agent": view["agent"],
        "action": view["action"],
        "resource": view["resource"],
        "audience": view["audience"],
        "parameters": view["commitment"],
        "policy_sha256": view["policy_sha256"],
    }
    document = {"v": 1, "aud": f"spiffe://{TRUST_DOMAIN}", "answer": said, "iat": now, "exp": now + 900, **question}
    envelope = issue_envelope("approval", document, live.owner_key.sign, live.keyid)
    live.owner(f"/v1/approvals/{request}/answer", {"approval": envelope})


def asked_by(agent: AgentIdentity, params: dict[str, int]) -> str:
    with pytest.raises(ApprovalRequiredError) as failed, agent.act("move:rows", RESOURCE, params):
        pytest.fail("an act that waits for a human was done")
    assert failed.value.code == "approval_required"
    return failed.value.request


def test_an_act_waits_for_the_owners_yes_to_exactly_it_and_is_done_once(
    asking: LiveServer, mover: AgentIdentity
) -> None:
    request = asked_by(mover, {"to": 1})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(mover.wait_for_approval, request)
        answer(asking, request, "approve")
        approval = waiting.result()
    with pytest.raises(TrustWardenError) as failed, mover.act("move:rows", RESOURCE, {"to": 2}, approval=approval):
        pytest.fail("an approval of something else was used")
    assert failed.value.code == "denied"
    assert "approval_mismatch" in mover.receipts[-1].reasons
    with mover.act("move:rows", RESOURCE, {"to": 1}, approval=approval) as action:
        assert action.receipt.allow
    with pytest.raises(TrustWardenError), mover.act("move:rows", RESOURCE, {"to": 1}, approval=approval):
        pytest.fail("an approval was used twice")


def test_a_no_is_told_and_nothing_is_done(asking: LiveServer, mover: AgentIdentity) -> None:
    request = asked_by(mover, {"to": 3})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(mover.wait_for_approval, request)
        answer(asking, request, "deny")
        with pytest.raises(TrustWardenError) as failed:
            waiting.result()
    assert failed.value.code == "approval_denied"


def test_whoever_is_cancelled_waits_for_no_human_and_the_question_stays(
    asking: LiveServer, mover: AgentIdentity
) -> None:
    request = asked_by(mover, {"to": 5})

    async def give_up() -> float:
        waiting = asyncio.ensure_future(mover.await_approval(request))
        while not [view for view in asking.admin("GET", "/v1/approvals")["approvals"] if view["id"] == request]:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return time.monotonic() - started

    assert asyncio.run(give_up()) < 5
    answer(asking, request, "approve")
    assert mover.wait_for_approval(request) == request


def test_silence_is_no_approval(mover: AgentIdentity) -> None:
    request = asked_by(mover, {"to": 4})
    with pytest.raises(TrustWardenError) as failed:
        mover.wait_for_approval(request, timeout=0.05)
    assert failed.value.code == "approval_expired"
    with pytest.raises(TrustWardenError) as failed:
        mover.wait_for_approval("01a2040a-8846-7a55-b727-b30f9c7fa8d7")
    assert failed.value.details["from"] == "server"


@pytest.mark.parametrize(
    ("reasons", "code"),
    [
        (["policy_unavailable"], "policy_unavailable"),
        (["approval_required", "policy_unavailable"], "policy_unavailable"),
        (["policy_unavailable", "scope_not_covered"], "denied"),
        (["approval_required", "tainted"], "approval_required"),
        (["scope_not_covered"], "denied"),
    ],
)
def test_what_no_engine_answered_is_no_deny_of_anybodys(reasons: list[str], code: str) -> None:
    assert refusal_of(reasons) == code
