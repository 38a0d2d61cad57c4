"""The client of the Workload API against endpoints that misbehave, byte by byte."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from trustwarden import TrustWardenError, create_workload_api_client
from trustwarden.keys import InstanceKey
from trustwarden.workload_api.messages import parse_x509_response
from workload import (
    GARBAGE,
    HEAD,
    REFUSED,
    Answering,
    Endpoint,
    Manner,
    answer,
    changed,
    code_of,
    encode_field,
    fetch_from,
    frame,
)

Make = Callable[[bytes], bytes]
"""What an answer becomes of a good one."""


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
