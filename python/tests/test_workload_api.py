"""The client of the Workload API: against our endpoint, and against ones that misbehave, byte by byte."""

from __future__ import annotations

import asyncio
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from live import Program
from trustwarden import TrustWardenError, WorkloadApiClient, WorkloadX509State, create_workload_api_client
from trustwarden._crypto import encode_spki
from trustwarden.keys import InstanceKey
from trustwarden.workload_api.address import parse_endpoint_address
from trustwarden.workload_api.grpc import Call
from trustwarden.workload_api.messages import parse_x509_response
from trustwarden.x509 import parse_certificate
from workload import HEAD, Answering, Endpoint, Manner, answer, encode_field, frame

REFUSED = "workload_answer_refused"
GARBAGE = b"\x30\x03\x02\x01"
Make = Callable[[bytes], bytes]
"""What an answer becomes of a good one."""


@pytest.fixture(scope="module")
def socket_of() -> Iterator[str]:
    program = Program(["test/support/workload-endpoint.ts"])
    yield str(program.ready["socket"])
    program.close()


@pytest.fixture(scope="module")
def client(socket_of: str) -> WorkloadApiClient:
    return create_workload_api_client(socket=socket_of)


@pytest.fixture(scope="module")
def good(socket_of: str) -> bytes:
    """A healthy answer of our endpoint, as bytes."""
    call = Call(parse_endpoint_address(socket_of), "/SpiffeWorkloadAPI/FetchX509SVID", b"", 30.0, stays_open=True)
    try:
        return next(call.messages())
    finally:
        call.close()


def code_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(TrustWardenError) as refused:
        attempt()
    return refused.value.code


def fetch_from(manner: Manner, timeout: float = 10.0) -> str:
    with closing(Endpoint(manner)) as endpoint:
        asker = create_workload_api_client(socket=endpoint.socket, timeout=timeout)
        return code_of(asker.fetch_x509)


def changed(good: bytes, number: int, value: bytes) -> bytes:
    """The first SVID of an answer alone, with one member changed."""
    svid = parse_x509_response(good).svids[0]
    members = {1: svid.spiffe_id.encode(), 2: svid.chain, 3: svid.key_pkcs8, 4: svid.bundle, 5: b""}
    return encode_field(1, b"".join(encode_field(each, data) for each, data in {**members, number: value}.items()))


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


def test_the_healthy_answer_is_believed_so_that_refusals_are_about_what_was_changed(good: bytes) -> None:
    with closing(Endpoint(answer(frame(changed(good, 5, b""))))) as endpoint:
        state = create_workload_api_client(socket=endpoint.socket).fetch_x509()
    assert state.svids[0].spiffe_id == "spiffe://ours.test/team/pay/inst-1"


def other_key() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return InstanceKey().lend_to_tls().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def sec1_of(good: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )

    key = load_der_private_key(parse_x509_response(good).svids[0].key_pkcs8, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def foreign_root(good: bytes) -> bytes:
    return parse_x509_response(good).federated_bundles["spiffe://other.test"]


def leaf_of(good: bytes) -> bytes:
    chain = parse_x509_response(good).svids[0].chain
    return chain[: 4 + int.from_bytes(chain[2:4], "big")]


BROKEN: list[tuple[str, int, Make]] = [
    ("a chain that is no DER", 2, lambda _: GARBAGE),
    ("an empty chain", 2, lambda _: b""),
    ("bytes behind the chain", 2, lambda good: parse_x509_response(good).svids[0].chain + GARBAGE),
    ("a leaf alone, whose issuer is not in the bundle", 2, leaf_of),
    ("the id of another", 1, lambda _: b"spiffe://ours.test/team/admin"),
    ("an id that is none", 1, lambda _: b"spiffe://OURS.test/team/pay"),
    ("no id", 1, lambda _: b""),
    ("an id that is no text", 1, lambda _: b"\xff"),
    ("another key", 3, lambda _: other_key()),
    ("a key in another form", 3, sec1_of),
    ("a key that is none", 3, lambda _: GARBAGE),
    ("no key", 3, lambda _: b""),
    ("no bundle", 4, lambda _: b""),
    ("another's bundle", 4, foreign_root),
    ("the leaf as its own authority", 4, leaf_of),
    ("bytes behind the bundle", 4, lambda good: parse_x509_response(good).svids[0].bundle + GARBAGE),
]


@pytest.mark.parametrize(("what", "number", "value"), BROKEN)
def test_an_svid_that_breaks_a_rule_is_refused(good: bytes, what: str, number: int, value: Make) -> None:
    assert fetch_from(answer(frame(changed(good, number, value(good))))) == REFUSED, what


NONSENSE: list[tuple[str, Make]] = [
    ("bytes that are no protobuf", lambda _: frame(b"\xff" * 64)),
    ("a message that is cut off inside", lambda good: frame(good[:-7])),
    ("bytes behind the last field", lambda good: frame(good + b"\x0a\x7f")),
    ("a field number of zero", lambda good: frame(good + b"\x02\x00")),
    ("an odd wire type", lambda good: frame(good + b"\x0b")),
    ("an empty message", lambda _: frame(b"")),
    ("no message", lambda _: b""),
    ("a frame that never fills", lambda good: frame(good, length=len(good) + 1)),
    ("half of a frame's head", lambda _: b"\0\0\0"),
    ("a message of five megabytes", lambda good: frame(good, length=5 * 1024 * 1024)),
    ("a message of four gigabytes", lambda good: frame(good, length=0xFFFFFFFF)),
    ("a compressed message, which nobody asked for", lambda good: frame(good, flag=1)),
    ("65 SVIDs", lambda _: frame(encode_field(1, encode_field(1, "spiffe://ours.test/x")) * 65)),
    ("a bundle of a workload", lambda good: frame(good + federated("spiffe://other.test/x"))),
    ("a bundle of a name that is no id", lambda good: frame(good + federated("other.test"))),
    ("a trust domain twice", lambda good: frame(good + federated("spiffe://other.test") * 2)),
    ("thousands of fields", lambda _: frame(encode_field(9, "") * 5000)),
]


@pytest.mark.parametrize(("what", "make"), NONSENSE)
def test_an_answer_that_is_no_message_is_refused(good: bytes, what: str, make: Make) -> None:
    assert fetch_from(answer(make(good))) == REFUSED, what


def federated(name: str) -> bytes:
    return encode_field(3, encode_field(1, name) + encode_field(2, b""))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("1", "server_unreachable"),
        ("3", "request_malformed"),
        ("7", "no_identity"),
        ("12", "server_unreachable"),
        ("16", "workload_gone"),
        ("-1", "server_unreachable"),
        ("none", "server_unreachable"),
    ],
)
def test_a_status_decides_and_what_is_said_is_shown_only(status: str, code: str) -> None:
    def refuse(call: Answering, _: int) -> None:
        call.head([*HEAD, ("grpc-status", status), ("grpc-message", f"%zz {'x' * 5000}")], ends=True)

    with closing(Endpoint(refuse)) as endpoint, pytest.raises(TrustWardenError) as refused:
        create_workload_api_client(socket=endpoint.socket).fetch_x509()
    assert (refused.value.code, len(str(refused.value.details["said"]))) == (code, 200)


def html(call: Answering, _: int) -> None:
    call.head([(":status", "404"), ("content-type", "text/html")], ends=True)


def reset(call: Answering, _: int) -> None:
    call.link.reset_stream(1, 2)
    call.flush()


def gone(call: Answering, _: int) -> None:
    call.wire.shutdown(socket.SHUT_RDWR)


def inside(call: Answering, _: int) -> None:
    call.head()
    call.data(frame(b"x" * 100)[:40])
    call.wire.shutdown(socket.SHUT_RDWR)


def bomb(call: Answering, _: int) -> None:
    call.head([*HEAD, *(("x-bomb", "x" * 4000) for _ in range(100))])


@pytest.mark.parametrize("manner", [html, answer(b"", None), reset, gone, inside, bomb])
def test_an_endpoint_that_breaks_off_is_unreachable(manner: Manner) -> None:
    assert fetch_from(manner) == "server_unreachable"


def test_an_endpoint_that_says_nothing_or_trickles_is_not_waited_for() -> None:
    def trickle(call: Answering, _: int) -> None:
        call.head()
        for _number in range(200):
            call.data(b"\0")
            time.sleep(0.02)

    assert fetch_from(lambda call, _: None, timeout=0.2) == "server_unreachable"
    started = time.monotonic()
    assert fetch_from(trickle, timeout=0.2) in ("server_unreachable", REFUSED)
    assert time.monotonic() - started < 3


def test_what_speaks_no_http2_and_what_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/agent.sock"
        assert code_of(create_workload_api_client(socket=f"unix://{path}").fetch_x509) == "server_unreachable"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()

            def serve() -> None:
                with listener.accept()[0] as wire:
                    wire.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            threading.Thread(target=serve, daemon=True).start()
            assert code_of(create_workload_api_client(socket=f"unix://{path}").fetch_x509) == "server_unreachable"


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
