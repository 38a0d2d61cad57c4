"""Sources of the Workload API, and mutual TLS between workloads, over our endpoint and over ones that misbehave."""

from __future__ import annotations

import os
import queue
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import anyio
import httpx
import pytest

import trustwarden.workload_api.x509_source as x509_source_module
from live import Program
from trustwarden import (
    MutualTls,
    PeerConnection,
    TrustWardenError,
    X509Source,
    accept_ids,
    accept_trust_domain,
    connect_mutual_tls,
    create_jwt_source,
    create_mutual_tls_agent,
    create_mutual_tls_server,
    create_x509_source,
)
from trustwarden.keys import InstanceKey
from trustwarden.tls import anonymous_context, client_context
from trustwarden.workload_api import mutual_tls_server as mutual_tls_module
from trustwarden.workload_api.watch import FINAL
from workload import GARBAGE, HEAD, REFUSED, Answering, Endpoint, changed, code_of, frame

INSTANCE, CLASS = "spiffe://ours.test/team/pay/inst-1", "spiffe://ours.test/team/pay"


@pytest.fixture
def source(socket_of: str) -> Iterator[X509Source]:
    with closing(create_x509_source(socket=socket_of)) as source:
        yield source


@contextmanager
def serving(options: MutualTls, work: Callable[[PeerConnection], None]) -> Generator[int, None, None]:
    """The port of a server of mutual TLS."""
    with create_mutual_tls_server(options, work) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def greet(connection: PeerConnection) -> None:
    connection.socket.sendall(f"{connection.peer}\n".encode())


def hear(connection: PeerConnection) -> str:
    with connection.socket as wire:
        return wire.recv(1000).decode()


def hesitant(_: str) -> Any:
    """Says neither yes nor no."""
    return 1


def eventually(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_a_source_has_the_latest_state_and_presents_the_first_or_the_hinted(socket_of: str, source: X509Source) -> None:
    assert source.svid().spiffe_id == INSTANCE
    assert sorted(source.current().bundles) == ["other.test", "ours.test"]
    with closing(create_x509_source(socket=socket_of, hint="class")) as hinted:
        assert hinted.svid().spiffe_id == CLASS
        assert source.verify_peer(hinted.svid().chain) == CLASS
    assert code_of(hinted.svid) == "identity_closed"
    with closing(create_x509_source(socket=socket_of, hint="none")) as none:
        assert code_of(none.svid) == "no_identity"
    assert code_of(lambda: source.verify_peer([GARBAGE])) == "svid_malformed"


def test_a_source_follows_a_rotation_and_has_nothing_once_withdrawn() -> None:
    program, changes = Program(["test/support/workload-endpoint.ts"]), queue.Queue[str]()
    with closing(program):
        made = create_x509_source(
            socket=program.ready["socket"],
            on_change=lambda: changes.put("change"),
            on_error=lambda error: changes.put(error.code),
        )
        with (
            closing(made) as source,
            closing(create_jwt_source(socket=program.ready["socket"], on_error=lambda _: None)) as tokens,
        ):
            (token, *_) = tokens.fetch(audience=["https://a.test"])
            assert tokens.verify(svid=token.svid, audience="https://a.test").id == INSTANCE
            assert code_of(lambda: tokens.verify(svid=token.svid, audience="b")) == "svid_audience"
            assert changes.get(timeout=60) == "change"
            first = source.svid()
            with serving(MutualTls(source, accept_ids(INSTANCE)), greet) as port:
                options = MutualTls(source, accept_trust_domain("ours.test"))
                before = connect_mutual_tls(options, host="127.0.0.1", port=port)
                os.kill(program.pid, signal.SIGUSR2)
                assert changes.get(timeout=60) == "change"
                assert source.svid().chain != first.chain
                after = connect_mutual_tls(options, host="127.0.0.1", port=port)
                assert before.socket.getpeercert(binary_form=True) == first.chain[0]
                assert after.socket.getpeercert(binary_form=True) == source.svid().chain[0]
                assert [hear(before), hear(after)] == [f"{INSTANCE}\n"] * 2
                os.kill(program.pid, signal.SIGHUP)
                assert [changes.get(timeout=60), changes.get(timeout=60)] == ["no_identity", "change"]
                assert code_of(source.svid) == "no_identity"
                assert code_of(lambda: connect_mutual_tls(options, host="127.0.0.1", port=port)) == "no_identity"
                with socket.create_connection(("127.0.0.1", port)) as plain:
                    assert plain.recv(1) == b""


def test_a_source_goes_on_with_what_it_has_until_it_ends(
    good: bytes, source: X509Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def manner(call: Answering, number: int) -> None:
        call.head()
        call.data(frame(good) if number == 1 else frame(changed(good, 2, GARBAGE)))
        if number == 1:
            goes_on.wait(60)
            call.trailers([("grpc-status", "14")])
        else:
            call.trailers([("grpc-status", "12")])

    heard = queue.Queue[str]()
    with (
        closing(Endpoint(manner)) as endpoint,
        closing(create_x509_source(socket=endpoint.socket, on_error=lambda error: heard.put(error.code))) as followed,
    ):
        goes_on.set()
        assert [heard.get(timeout=60) for _ in range(2)] == ["server_unreachable", REFUSED]
        assert heard.get(timeout=60) == "server_unreachable"
        # Whoever does not take the call would tell nobody what is withdrawn.
        eventually(lambda: _lacks(followed) == "server_unreachable")
    monkeypatch.setattr(x509_source_module, "now_seconds", lambda: source.current().svids[0].expires_at)
    assert code_of(source.svid) == "svid_expired"


def _lacks(source: X509Source) -> str:
    try:
        source.svid()
    except TrustWardenError as error:
        return error.code
    return ""


@pytest.mark.parametrize(("status", "code"), [(FINAL[0], "request_malformed"), (FINAL[1], "server_unreachable")])
def test_an_endpoint_that_does_not_take_the_call_is_asked_once(status: str, code: str) -> None:
    def manner(call: Answering, _: int) -> None:
        call.head([*HEAD, ("grpc-status", status)], ends=True)

    with closing(Endpoint(manner)) as endpoint:
        assert code_of(lambda: create_x509_source(socket=endpoint.socket, timeout=60)) == code
        assert code_of(lambda: create_jwt_source(socket=endpoint.socket, timeout=60)) == code
        assert endpoint.calls == 2


def test_a_source_that_gets_no_answer_in_time_gives_up() -> None:
    with closing(Endpoint(lambda call, _: call.head())) as endpoint:
        assert code_of(lambda: create_x509_source(socket=endpoint.socket, timeout=0.3)) == "server_unreachable"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_no_source(source: X509Source) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, _lacks(source).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read() == "identity_closed"
    os.waitpid(child, 0)


def test_both_ends_accept_only_whom_they_name_although_all_are_proven(source: X509Source) -> None:
    refusals: list[str] = []
    for accept, is_accepted in (
        (accept_ids(INSTANCE), True),
        (accept_ids(CLASS), False),
        (accept_trust_domain("ours.test"), True),
        (accept_trust_domain("other.test"), False),
        (hesitant, False),
    ):
        server = MutualTls(source, accept, lambda error: refusals.append(error.code))
        with serving(server, greet) as port:
            dialled = connect_mutual_tls(MutualTls(source, accept_ids(INSTANCE)), host="127.0.0.1", port=port)
            if is_accepted:
                assert (dialled.peer, hear(dialled)) == (INSTANCE, f"{INSTANCE}\n")
            else:
                with pytest.raises((OSError, AssertionError)):
                    assert hear(dialled)
        with serving(MutualTls(source, accept_ids(INSTANCE)), greet) as port:
            if not is_accepted:
                with pytest.raises(TrustWardenError, match="peer_untrusted"):
                    connect_mutual_tls(MutualTls(source, accept), host="127.0.0.1", port=port)
    assert refusals == ["peer_untrusted"] * 3
    assert code_of(lambda: accept_ids("no id")) == "spiffe_id_malformed"
    assert code_of(lambda: accept_trust_domain("NO")) == "spiffe_id_malformed"


def test_who_shows_nothing_another_chain_or_no_tls_is_refused_and_the_next_one_served(source: X509Source) -> None:
    refusals: list[str] = []
    svid = source.svid()

    def pretend(context: ssl.SSLContext, port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as wire:
            return wire.recv(100)

    with serving(MutualTls(source, accept_ids(INSTANCE), lambda error: refusals.append(error.code)), greet) as port:
        old = anonymous_context()
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
        alone = client_context(InstanceKey(svid.private_key), svid.chain[:1])
        for context in (anonymous_context(), old, alone):
            with pytest.raises(OSError):
                pretend(context, port)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises((OSError, AssertionError)):
                assert plain.recv(1000).startswith(b"HTTP")
        assert pretend(client_context(InstanceKey(svid.private_key), svid.chain), port) == f"{INSTANCE}\n".encode()
    assert refusals == ["peer_untrusted"] * 4


def test_a_peer_of_whom_nobody_vouches_is_refused_by_the_client(source: X509Source) -> None:
    asked: list[str] = []

    def note(peer: str) -> bool:
        asked.append(peer)
        return True

    options = MutualTls(source, note)
    with (
        closing(Program(["test/support/workload-endpoint.ts"])) as program,
        closing(create_x509_source(socket=program.ready["socket"])) as namesake,
        serving(MutualTls(namesake, accept_trust_domain("ours.test"), lambda _: None), greet) as port,
    ):
        # The same name by another authority.
        assert namesake.svid().spiffe_id == INSTANCE
        assert code_of(lambda: connect_mutual_tls(options, host="127.0.0.1", port=port)) == "peer_untrusted"
    assert asked == []
    with serving(MutualTls(source, accept_ids(INSTANCE)), greet) as port:
        assert hear(connect_mutual_tls(options, host="127.0.0.1", port=port)) == f"{INSTANCE}\n"
    assert asked == [INSTANCE]


def test_who_ends_the_handshake_is_not_there(source: X509Source) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        options = MutualTls(source, accept_trust_domain("ours.test"))
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        assert code_of(lambda: connect_mutual_tls(options, host="127.0.0.1", port=port)) == "server_unreachable"


def test_work_that_fails_ends_its_connection_and_no_other(source: X509Source) -> None:
    def work(connection: PeerConnection) -> None:
        if connection.socket.recv(1) == b"!":
            raise ValueError("a bug of the service's")
        greet(connection)

    options = MutualTls(source, accept_ids(INSTANCE))
    with serving(options, work) as port, pytest.warns(match="mutual TLS failed"):
        broken = connect_mutual_tls(options, host="127.0.0.1", port=port)
        broken.socket.sendall(b"!")
        with pytest.raises((OSError, AssertionError)):
            assert hear(broken)
        good = connect_mutual_tls(options, host="127.0.0.1", port=port)
        good.socket.sendall(b".")
        assert hear(good) == f"{INSTANCE}\n"


def test_a_connection_for_which_there_is_no_thread_keeps_no_place(
    source: X509Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutual_tls_module, "_MAX_CONNECTIONS", 1)
    server = mutual_tls_module.create_mutual_tls_server(MutualTls(source, accept_ids(INSTANCE)), greet)
    with server, monkeypatch.context() as without, pytest.warns(match="mutual TLS failed"):
        without.setattr(threading.Thread, "start", _no_thread)
        with socket.create_connection(("127.0.0.1", int(server.server_address[1]))):
            server.handle_request()
        assert server._places.acquire(blocking=False)  # pyright: ignore[reportPrivateUsage]


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_http_goes_between_two_workloads_each_proven_to_the_other(source: X509Source) -> None:
    def web(connection: PeerConnection) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.socket.recv(1000)
        connection.socket.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")

    with serving(MutualTls(source, accept_ids(INSTANCE)), web) as port:
        url = f"https://127.0.0.1:{port}/x"
        with httpx.Client(transport=create_mutual_tls_agent(MutualTls(source, accept_ids(INSTANCE)))) as client:
            assert client.get(url).text == "hello"

        async def ask() -> str:
            agent = create_mutual_tls_agent(MutualTls(source, accept_ids(INSTANCE)))
            async with httpx.AsyncClient(transport=agent) as client:
                return (await client.post(url, content=b"x")).text

        assert anyio.run(ask) == "hello"
        with httpx.Client(transport=create_mutual_tls_agent(MutualTls(source, accept_ids(CLASS)))) as client:
            assert code_of(lambda: client.get(url)) == "peer_untrusted"
            source.close()
            assert code_of(lambda: client.get(url)) == "identity_closed"
