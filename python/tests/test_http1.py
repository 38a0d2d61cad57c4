"""HTTP/1.1 read strictly: what two readers could take for two things is no answer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import cast

import pytest

from hostile import HostileService
from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError, transport
from trustwarden.contact import parse_origin
from trustwarden.http1 import MAX_HEAD_BYTES, AnswerReader, MalformedAnswerError, encode_request
from trustwarden.runtime import monotonic
from trustwarden.tls import PeerCheck, TlsConnection
from trustwarden.transport import HttpsCall, Origin, Pool, _Link  # pyright: ignore[reportPrivateUsage]


def read(data: bytes, *, method: str = "GET", step: int = 65_536) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection may be used again; the bytes come in parts of `step`."""
    parts = iter([data[at : at + step] for at in range(0, len(data), step)])
    reader = AnswerReader(lambda: next(parts, b""))
    head = reader.read_head(method)
    body = b"".join(reader.read_body(head))
    return head.status, body, head.keeps_open and reader.is_drained


@pytest.mark.parametrize("step", [1, 7, 65_536])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", (200, b"ab", True)),
        (b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", (200, b"", True)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", (204, b"", True)),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", (200, b"to the end", False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", (200, b"a", False)),
        (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na", (200, b"a", False)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n",
            (200, b"abc", True),
        ),
    ],
)
def test_an_answer_is_the_same_in_whatever_parts_it_comes(
    data: bytes, expected: tuple[int, bytes, bool], step: int
) -> None:
    assert read(data, step=step) == expected


def test_an_answer_to_head_has_no_body_and_what_comes_after_one_is_nobodys() -> None:
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method="HEAD") == (200, b"", True)
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\n"
    assert read(smuggled) == (200, b"a", False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX:" + b" " * 60_000 + b"\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 129 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 13 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno header\r\n\r\n",
    ],
)
def test_nonsense_breaks_off_and_doubt_is_nonsense(data: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        read(data)


@pytest.mark.parametrize(
    ("method", "target", "name", "value"),
    [
        ("GET /", "/", "x", "a"),
        ("GET", "/ HTTP/1.1\r\nx: y", "x", "a"),
        ("GET", "", "x", "a"),
        ("GET", "/ä", "x", "a"),
        ("GET", "/", "x: y\r\nz", "a"),
        ("GET", "/", "x", "a\r\nauthorization: b"),
        ("GET", "/", "x", "a\nb"),
        ("GET", "/", "x", "€"),
    ],
)
def test_no_request_is_two(method: str, target: str, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"method or target|header"):
        encode_request(method, target, [(name, value)], None)


def test_a_request_leaves_as_it_was_asked_for() -> None:
    sent = encode_request("POST", "/rows?a=b", [("host", "a.test"), ("x", "y")], b"{}")
    assert sent == b"POST /rows?a=b HTTP/1.1\r\nhost: a.test\r\nx: y\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
def hostile(live: LiveServer) -> Iterator[HostileService]:
    with closing(HostileService(live, "rows")) as service:
        yield service


def pool_for(agent: AgentIdentity, hostile: HostileService) -> Pool:
    return Pool(PeerCheck(lambda: agent._place.server.bundle, lambda peer: peer == hostile.spiffe_id))  # pyright: ignore[reportPrivateUsage]


def test_an_end_that_the_peer_did_not_announce_is_no_end_of_an_answer(
    hostile: HostileService, orchestrator: AgentIdentity
) -> None:
    hostile.raw = b"HTTP/1.1 200 OK\r\n\r\npay 1"
    hostile.closes_silently = True
    answer = pool_for(orchestrator, hostile).send(HttpsCall(parse_origin(hostile.url), "GET", "/rows", {}))
    # A read may give what is there before the end has come.
    with pytest.raises(TrustWardenError) as cut:
        while answer.read(1024):
            pass
    assert cut.value.code == "server_unreachable"
    hostile.closes_silently = False
    whole = pool_for(orchestrator, hostile).send(HttpsCall(parse_origin(hostile.url), "GET", "/rows", {}))
    assert b"".join(iter(lambda: whole.read(1024), b"")) == b"pay 1"


def test_closing_wakes_who_waits_for_an_answer(hostile: HostileService, orchestrator: AgentIdentity) -> None:
    hostile.raw = b""
    hostile.holds = threading.Event()
    pool = pool_for(orchestrator, hostile)
    codes: list[str] = []

    def ask() -> None:
        try:
            pool.send(HttpsCall(parse_origin(hostile.url), "GET", "/rows", {}, timeout=600))
        except TrustWardenError as error:
            codes.append(error.code)

    waiting = threading.Thread(target=ask)
    waiting.start()
    assert hostile.asked.wait(60)
    pool.close()
    waiting.join(60)
    hostile.holds.set()
    assert codes == ["server_unreachable"]


def test_more_callers_than_connections_take_turns(finance: str, orchestrator: AgentIdentity) -> None:
    server = orchestrator._place.server  # pyright: ignore[reportPrivateUsage]
    pool = Pool(PeerCheck(lambda: server.bundle, lambda _: True), max_connections=2)
    call = HttpsCall(parse_origin(finance), "GET", "/.well-known/trustwarden-routes", {}, timeout=60)
    statuses: list[int] = []

    def ask() -> None:
        answer = pool.send(call)
        answer.read(1 << 20)
        statuses.append(answer.status)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    pool.close()
    assert statuses == [200] * 8


def until(condition: Callable[[], bool]) -> None:
    """Returns when a thread has come so far."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


def link_over(wire: socket.socket) -> _Link:
    return _Link(Origin("127.0.0.1", 1), TlsConnection(cast("ssl.SSLSocket", wire), (), None))


def test_what_trickles_in_or_out_ends_with_its_time_although_every_part_is_quick() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"more and more")
        link = link_over(ours)
        link.limit(600, monotonic())
        for move in (link.receive, lambda: link.send(b"more")):
            with pytest.raises(TimeoutError):
                move()
        link.limit(600, monotonic() + 600)
        link.send(b"more")
        assert (link.receive(), theirs.recv(9)) == (b"more and more", b"more")


def test_closing_wakes_who_still_reads_before_the_descriptor_is_anybody_elses() -> None:
    ours, theirs = socket.socketpair()
    link = link_over(ours)
    link.limit(600)

    def read_on() -> None:
        with suppress(OSError):
            link.receive()

    reading = threading.Thread(target=read_on, daemon=True)
    reading.start()
    until(link._receiving.locked)  # pyright: ignore[reportPrivateUsage]
    link.close()
    reading.join(60)
    theirs.close()
    assert not reading.is_alive()


def test_a_waiter_that_gives_up_takes_no_place_from_one_that_waits_on(
    finance: str, orchestrator: AgentIdentity
) -> None:
    server = orchestrator._place.server  # pyright: ignore[reportPrivateUsage]
    pool = Pool(PeerCheck(lambda: server.bundle, lambda _: True), max_connections=1)
    call = HttpsCall(parse_origin(finance), "GET", "/.well-known/trustwarden-routes", {}, timeout=600)
    first = pool.send(call)
    changed = pool._changed  # pyright: ignore[reportPrivateUsage]
    waiters = cast("list[object]", changed.__dict__["_waiters"])
    statuses: list[int] = []

    def give_up() -> None:
        with changed:
            changed.wait(600)

    def ask() -> None:
        with closing(pool.send(call)) as answer:
            statuses.append(answer.status)

    threads = [threading.Thread(target=target, daemon=True) for target in (give_up, ask)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        until(lambda count=count: len(waiters) == count)
    first.close()
    for thread in threads:
        thread.join(60)
    pool.close()
    assert statuses == [200]


def test_a_connection_that_is_never_idle_is_proven_anew_all_the_same(
    finance: str, orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = orchestrator._place.server  # pyright: ignore[reportPrivateUsage]
    proven: list[str] = []

    def accept(peer: str) -> bool:
        proven.append(peer)
        return True

    with closing(Pool(PeerCheck(lambda: server.bundle, accept))) as pool:
        call = HttpsCall(parse_origin(finance), "GET", "/.well-known/trustwarden-routes", {}, timeout=60)
        pool.send(call).read(1 << 20)
        pool.send(call).read(1 << 20)
        assert len(proven) == 1
        monkeypatch.setattr(transport, "_MAX_AGE_SECONDS", 0.0)
        pool.send(call).read(1 << 20)
        pool.send(call).read(1 << 20)
        assert len(proven) == 2


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test"])
def test_a_name_that_can_be_no_hosts_reaches_nobody(host: str) -> None:
    with pytest.raises(TrustWardenError) as failed:
        Pool(None).send(HttpsCall(Origin(host, 443), "GET", "/", {}))
    assert failed.value.code == "server_unreachable"
