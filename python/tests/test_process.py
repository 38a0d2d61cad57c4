from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from hostile import HostileService
from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError
from trustwarden.contact import parse_origin
from trustwarden.tls import PeerCheck
from trustwarden.transport import HttpsCall, Pool

READ = ["read:transactions"]
RESOURCE = "postgres://db/transactions"


def in_fork(check: Callable[[], str]) -> str:
    """What a forked child finds; it ends without the test's own clean-up."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = check()
        except BaseException as error:
            found = f"raised {error!r}"
        os.write(writer, found.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        found = stream.read()
    os.waitpid(child, 0)
    return found


def code_of(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except TrustWardenError as error:
        return error.code
    return "nothing was refused"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_cannot_act_as_its_parent(orchestrator: AgentIdentity) -> None:
    def attempts() -> str:
        codes = [
            code_of(lambda: orchestrator.act("write:reports", "file://reports/q3").__enter__()),
            code_of(lambda: orchestrator.spawn(name="child", scope=READ)),
            code_of(lambda: orchestrator.grant(AgentIdentity.request(name="child", scope=READ).text)),
            code_of(lambda: orchestrator.jwt("https://api.example")),
            code_of(orchestrator.renew),
            code_of(lambda: orchestrator.fetch("https://127.0.0.1:1/")),
            code_of(lambda: AgentIdentity.create(name="child", scope=READ, parent=orchestrator.id)),
        ]
        return " ".join(codes)

    expected = ["identity_closed"] * 6 + ["parent_proof_missing"]
    assert in_fork(attempts) == " ".join(expected)
    with orchestrator.act("write:reports", "file://reports/q3") as action:
        assert action.receipt.allow


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_gets_an_identity_of_its_own_by_ticket(live: LiveServer, orchestrator: AgentIdentity) -> None:
    ticket = live.ticket("forked", READ)

    def create() -> str:
        with AgentIdentity.create(name="forked", ticket=ticket) as own, own.act("read:transactions", RESOURCE):
            return own.name

    assert in_fork(create) == "forked"
    assert orchestrator.svid_expires_at > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_closing_in_a_forked_child_leaves_the_parents_connections_alone(orchestrator: AgentIdentity) -> None:
    with orchestrator.act("write:reports", "file://reports/q3"):
        pass

    def close() -> str:
        orchestrator.close()
        return "closed"

    assert in_fork(close) == "closed"
    with orchestrator.act("write:reports", "file://reports/q3") as action:
        assert action.receipt.allow


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_cuts_no_connection_on_which_its_parent_waits(
    live: LiveServer, orchestrator: AgentIdentity
) -> None:
    server = orchestrator._place.server  # pyright: ignore[reportPrivateUsage]
    pool = Pool(PeerCheck(lambda: server.bundle, lambda _: True))
    bodies: list[bytes] = []
    with closing(HostileService(live, "held")) as service:
        service.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        service.holds = threading.Event()
        call = HttpsCall(parse_origin(service.url), "GET", "/rows", {}, timeout=60)
        waiting = threading.Thread(target=lambda: bodies.append(pool.send(call).read(64)))
        waiting.start()
        assert service.asked.wait(60)
        assert in_fork(lambda: code_of(pool.close)) == "nothing was refused"
        service.holds.set()
        waiting.join(60)
    pool.close()
    assert bodies == [b"ok"]


def test_many_threads_act_as_one_agent_and_number_their_intents_once(
    live: LiveServer, orchestrator: AgentIdentity
) -> None:
    barrier = threading.Barrier(8)

    def act(number: int) -> str:
        barrier.wait()
        with orchestrator.act("write:reports", f"file://reports/{number}") as action:
            return action.receipt.receipt.event_id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(act, range(8)))
    assert len(set(ids)) == 8
    outcomes = {event["event_id"]: event["outcome"] for event in live.events(agent=orchestrator.agent_id)}
    assert {outcomes[event_id] for event_id in ids} == {"success"}


def test_a_process_that_forgets_to_close_ends_cleanly_and_reports_what_it_did(live: LiveServer) -> None:
    program = """
import sys
from trustwarden import AgentIdentity, act
act._DECISION_LASTS_SECONDS = 30.0
agent = AgentIdentity.create(name="forgetful", ticket=sys.argv[1])
with agent.act("read:transactions", "db://transactions") as action:
    print(action.receipt.receipt.event_id)
"""
    ticket = live.ticket("forgetful", READ)
    ran = subprocess.run([sys.executable, "-c", program, ticket], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    (event,) = [event for event in live.events() if event["event_id"] == ran.stdout.strip()]
    assert event["outcome"] == "success"
