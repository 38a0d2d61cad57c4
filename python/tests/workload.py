"""Endpoints of the Workload API: our own one over identities in memory, and ones that answer whatever a test wants."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from trustwarden import TrustWardenError, create_workload_api_client
from trustwarden.workload_api.messages import parse_x509_response

REFUSED = "workload_answer_refused"
GARBAGE = b"\x30\x03\x02\x01"
GOOD = (("grpc-status", "0"),)
HEAD = ((":status", "200"), ("content-type", "application/grpc"))


def frame(message: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A message in its frame, with what the frame says changed."""
    said = len(message) if length is None else length
    return bytes([flag]) + said.to_bytes(4, "big") + message


def encode_field(number: int, value: bytes | str) -> bytes:
    """A length-delimited field of protobuf."""
    data = value.encode() if isinstance(value, str) else value
    parts, length = [number << 3 | 2], len(data)
    while length >= 0x80:
        parts.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*parts, length]) + data


class Answering:
    """The connection of one call, to answer on."""

    def __init__(self, link: H2Connection, wire: socket.socket) -> None:
        self.link = link
        self.wire = wire

    def head(self, headers: Sequence[tuple[str, str]] = HEAD, *, ends: bool = False) -> None:
        self.link.send_headers(1, headers, end_stream=ends)
        self.flush()

    def data(self, data: bytes) -> None:
        for start in range(0, len(data), 16_384):
            self.link.send_data(1, data[start : start + 16_384])
        self.flush()

    def trailers(self, headers: Sequence[tuple[str, str]]) -> None:
        self.link.send_headers(1, headers, end_stream=True)
        self.flush()

    def flush(self) -> None:
        self.wire.sendall(self.link.data_to_send())


Manner = Callable[[Answering, int], None]
"""What an endpoint does with a call; the number is from 1."""


def answer(data: bytes, status: str | None = "0") -> Manner:
    """Answers with these bytes, and then with a status."""

    def act(call: Answering, _: int) -> None:
        call.head()
        call.data(data)
        call.trailers([("x-more", "none")] if status is None else [("grpc-status", status)])

    return act


class Endpoint:
    """Listens on a unix socket; each connection has one call."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._directory = tempfile.TemporaryDirectory(prefix="workload-")
        path = Path(self._directory.name) / "agent.sock"
        self.socket = f"unix://{path}"
        self.calls = 0
        self.headers: list[tuple[str, str]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for wire in self._open:
            wire.close()
        self._directory.cleanup()

    def _serve(self) -> None:
        while True:
            try:
                wire = self._listener.accept()[0]
            except OSError:
                return
            self._open.append(wire)
            self.calls += 1
            threading.Thread(target=self._answer, args=(wire, self.calls), daemon=True).start()

    def _answer(self, wire: socket.socket, number: int) -> None:
        link = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        # The client may leave whenever it likes.
        with contextlib.suppress(OSError):
            link.initiate_connection()
            wire.sendall(link.data_to_send())
            while data := wire.recv(65_536):
                events = link.receive_data(data)
                wire.sendall(link.data_to_send())
                if any(isinstance(event, StreamEnded) for event in events):
                    self._manner(Answering(link, wire), number)


def code_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(TrustWardenError) as refused:
        attempt()
    return refused.value.code


def fetch_from(manner: Manner, timeout: float = 10.0) -> str:
    with contextlib.closing(Endpoint(manner)) as endpoint:
        asker = create_workload_api_client(socket=endpoint.socket, timeout=timeout)
        return code_of(asker.fetch_x509)


def changed(good: bytes, number: int, value: bytes) -> bytes:
    """The first SVID of an answer alone, with one member changed."""
    svid = parse_x509_response(good).svids[0]
    members = {1: svid.spiffe_id.encode(), 2: svid.chain, 3: svid.key_pkcs8, 4: svid.bundle, 5: b""}
    return encode_field(1, b"".join(encode_field(each, data) for each, data in {**members, number: value}.items()))
