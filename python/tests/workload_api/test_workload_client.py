"""The client of the Workload API against our endpoint, and what becomes of its watches."""

from __future__ import annotations

import asyncio
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from live import Program
from trustwarden import WorkloadApiClient, WorkloadX509State, create_workload_api_client
from trustwarden._crypto import encode_spki
from trustwarden.workload_api.address import parse_endpoint_address
from trustwarden.x509 import parse_certificate
from workload import (
    GARBAGE,
    HEAD,
    REFUSED,
    Answering,
    Endpoint,
    answer,
    changed,
    code_of,
    frame,
)


def test_svids_come_proven_with_their_keys_instance_first(client: WorkloadApiClient) -> None:
    state = client.fetch_x509()
    assert [(svid.spiffe_id, svid.hint) for svid in state.svids] == [
        ("spiffe://ours.test/team/pay/inst-1", "instance"),
        ("spiffe://ours.test/team/pay", "class"),
    ]
    first = state.svids[0]
    assert encode_spki(first.private_key.public_key()) == parse_certificate(first.chain[0]).spki
    assert first.expires_at > time.time()
    assert sorted(state.bundles) == ["other.test", "ours.test"]
    assert sorted(client.fetch_x509_bundles()) == ["other.test", "ours.test"]


def test_no_key_and_no_token_is_shown_or_pickled(client: WorkloadApiClient) -> None:
    state, (token, *_) = client.fetch_x509(), client.fetch_jwt_svids(audience=["https://a.test"])
    assert "private_key" not in repr(state)
    assert token.svid not in repr(token)
    with pytest.raises(TypeError):
        pickle.dumps(state)


def test_tokens_are_for_all_audiences_and_are_validated_for_these_alone(client: WorkloadApiClient) -> None:
    tokens = client.fetch_jwt_svids(audience=["https://a.test", "https://b.test"])
    assert len(tokens) == 2
    token = tokens[0]
    assert client.validate_jwt_svid(audience="https://b.test", svid=token.svid) == token.spiffe_id
    assert code_of(lambda: client.validate_jwt_svid(audience="https://c.test", svid=token.svid)) == "request_malformed"
    (one,) = client.fetch_jwt_svids(audience=["a"], spiffe_id=tokens[1].spiffe_id)
    assert one.spiffe_id == tokens[1].spiffe_id
    assert len(client.fetch_jwt_bundles()) == 2


def test_a_request_is_refused_before_it_is_sent(client: WorkloadApiClient) -> None:
    assert code_of(lambda: client.fetch_jwt_svids(audience="https://a.test")) == "request_malformed"
    assert code_of(lambda: client.fetch_jwt_svids(audience=[])) == "request_malformed"
    assert code_of(lambda: client.validate_jwt_svid(audience="a", svid="x" * 70_000)) == "request_malformed"


def test_wit_svids_come_with_the_keys_that_they_are_bound_to(client: WorkloadApiClient) -> None:
    svids = client.fetch_wit_svids()
    assert [svid.hint for svid in svids] == ["instance", "class"]
    assert len(client.fetch_wit_svids(svids[1].spiffe_id)) == 1


def test_where_there_are_no_wit_svids_that_is_said() -> None:
    def unimplemented(call: Answering, _: int) -> None:
        call.head([*HEAD, ("grpc-status", "12")], ends=True)

    with closing(Endpoint(unimplemented)) as endpoint:
        asker = create_workload_api_client(socket=endpoint.socket)
        assert code_of(asker.fetch_wit_svids) == "wit_disabled"
        assert code_of(asker.fetch_wit_bundles) == "wit_disabled"


def test_asyncio_asks_alike(client: WorkloadApiClient) -> None:
    async def ask() -> tuple[int, ...]:
        state = await client.afetch_x509()
        tokens = await client.afetch_jwt_svids(audience=["a"])
        validated = await client.avalidate_jwt_svid(audience="a", svid=tokens[0].svid)
        wits, bundles = await client.afetch_wit_svids(), await client.afetch_x509_bundles()
        more = [await client.afetch_jwt_bundles(), await client.afetch_wit_bundles()]
        assert validated == tokens[0].spiffe_id
        return (len(state.svids), len(tokens), len(wits), len(bundles), *map(len, more))

    assert asyncio.run(ask()) == (2, 2, 2, 2, 2, 2)


def test_a_watch_hears_of_each_change_and_of_the_end() -> None:
    program = Program(["test/support/workload-endpoint.ts"])
    told: queue.Queue[WorkloadX509State | str] = queue.Queue()
    with closing(program), closing(create_workload_api_client(socket=program.ready["socket"])) as asker:
        asker.watch_x509(told.put, lambda error: told.put(error.code))
        first = told.get(timeout=60)
        os.kill(program.pid, signal.SIGUSR2)
        second = told.get(timeout=60)
        assert isinstance(first, WorkloadX509State)
        assert isinstance(second, WorkloadX509State)
        assert first.svids[0].spiffe_id == second.svids[0].spiffe_id
        assert first.svids[0].chain != second.svids[0].chain
        os.kill(program.pid, signal.SIGHUP)
        assert told.get(timeout=60) == "no_identity"


def test_a_watch_outlives_failures_keeps_its_state_and_ends_when_told(good: bytes) -> None:
    def manner(call: Answering, number: int) -> None:
        if number == 1:
            call.wire.close()
        elif number == 2:
            answer(frame(changed(good, 2, GARBAGE)))(call, number)
        else:
            call.head()
            call.data(frame(good))

    told: queue.Queue[str] = queue.Queue()
    with closing(Endpoint(manner)) as endpoint:
        asker = create_workload_api_client(socket=endpoint.socket)
        end = asker.watch_x509(lambda state: told.put(state.svids[0].spiffe_id), lambda error: told.put(error.code))
        heard = [told.get(timeout=60) for _ in range(3)]
        assert heard == ["server_unreachable", REFUSED, "spiffe://ours.test/team/pay/inst-1"]
        assert endpoint.calls == 3
        end()
        asker.close()
        assert code_of(lambda: asker.watch_x509(lambda _: None, lambda _: None)) == "identity_closed"
        assert told.empty()


def test_a_message_that_is_not_believed_costs_no_stream_and_silence_behind_it_does(good: bytes) -> None:
    def manner(call: Answering, number: int) -> None:
        call.head()
        call.data(frame(good) + frame(changed(good, 2, GARBAGE)))
        if number == 2:
            call.data(frame(good))

    told: queue.Queue[str] = queue.Queue()
    with closing(Endpoint(manner)) as endpoint, closing(create_workload_api_client(socket=endpoint.socket)) as asker:
        asker.watch_x509(lambda _: told.put("state"), lambda error: told.put(error.code))
        assert [told.get(timeout=60) for _ in range(5)] == ["state", REFUSED, "state", REFUSED, "state"]
        assert endpoint.calls == 2


def test_a_watch_that_the_endpoint_does_not_take_is_over() -> None:
    def unimplemented(call: Answering, _: int) -> None:
        call.head([*HEAD, ("grpc-status", "12")], ends=True)

    told: queue.Queue[str] = queue.Queue()
    with closing(Endpoint(unimplemented)) as endpoint:
        asker = create_workload_api_client(socket=endpoint.socket)
        asker.watch_x509(lambda _: told.put("state"), lambda error: told.put(error.code))
        assert told.get(timeout=60) == "server_unreachable"
        time.sleep(1.2)
        assert (endpoint.calls, told.empty()) == (1, True)


def test_bundles_are_watched_too(client: WorkloadApiClient) -> None:
    told: queue.Queue[int] = queue.Queue()
    ends = [
        watch(lambda bundles: told.put(len(bundles)), lambda _: None)
        for watch in (client.watch_x509_bundles, client.watch_jwt_bundles)
    ]
    assert [told.get(timeout=60), told.get(timeout=60)] == [2, 2]
    for end in ends:
        end()


@pytest.mark.filterwarnings("ignore::trustwarden.TrustWardenWarning")
def test_a_listener_that_fails_ends_no_watch(good: bytes) -> None:
    def manner(call: Answering, number: int) -> None:
        call.head()
        call.data(frame(good) + frame(good))

    heard = threading.Semaphore(0)

    def listen(_: WorkloadX509State) -> None:
        heard.release()
        raise ValueError("a bug of the listener's")

    with closing(Endpoint(manner)) as endpoint:
        asker = create_workload_api_client(socket=endpoint.socket)
        with closing(asker):
            asker.watch_x509(listen, lambda _: None)
            assert heard.acquire(timeout=60)
            assert heard.acquire(timeout=60)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_asks_on_a_connection_of_its_own(client: WorkloadApiClient) -> None:
    client.fetch_x509()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, client.fetch_x509().svids[0].spiffe_id.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read() == "spiffe://ours.test/team/pay/inst-1"
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/run/agent.sock",
        "unix:run/agent.sock",
        "unix:///run/agent.sock?x",
        f"unix:///{'x' * 107}",
        "tcp://localhost:8080",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://[127.0.0.1]:80",
        "tcp://::1:80",
        "tcp://127.0.0.1",
        "http://127.0.0.1:80",
    ],
)
def test_an_address_has_one_form(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(lambda: create_workload_api_client(socket=text)) == "endpoint_malformed"
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    assert code_of(create_workload_api_client) == "endpoint_malformed"


@pytest.mark.parametrize("asked", ["fetch_x509()", "watch_x509(print, print)"])
def test_who_lacks_the_extra_hears_its_name(socket_of: str, asked: str) -> None:
    program = (
        "import sys; sys.modules['h2'] = None\n"
        "import trustwarden\n"
        "trustwarden.create_workload_api_client(socket=sys.argv[1])."
        f"{asked}"
    )
    ran = subprocess.run([sys.executable, "-c", program, socket_of], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "needs the extra `workload-api`" in ran.stderr


def test_the_address_comes_from_the_environment(socket_of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", socket_of)
    assert len(create_workload_api_client().fetch_x509().svids) == 2
    assert parse_endpoint_address("tcp://[::1]:80").host == "::1"
