"""A service that has a verifier's SVID and answers whatever a test wants, byte for byte."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading

from live import LiveServer
from trustwarden import tls
from trustwarden.enrol import enrol, read_ticket
from trustwarden.keys import InstanceKey
from trustwarden.route_table import ROUTES_PATH
from trustwarden.server import connect_server

ROUTES = [
    {"method": "GET", "path": "/rows", "action": "read:transactions", "resource": "db://rows"},
    {"method": "POST", "path": "/rows", "action": "write:transactions", "resource": "db://rows"},
]


class Relay:
    """Leads one connection after the other to the next of some origins, as whoever is on the way can."""

    def __init__(self, *urls: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, args=(urls,), daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self, urls: tuple[str, ...]) -> None:
        for url in urls:
            try:
                visitor = self._listener.accept()[0]
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
            for source, sink in ((visitor, there), (there, visitor)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        # One end may leave before the other.
        with source, contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class HostileService:
    """Listens on loopback; keeps every request that it got."""

    def __init__(self, live: LiveServer, name: str) -> None:
        held = read_ticket(live.verifier_ticket(name))
        self._server = connect_server(held.address)
        key = InstanceKey()
        enrolled = enrol(self._server, key, held.envelope, None)
        self.spiffe_id = enrolled.answer.spiffe_id
        self.verifier_in_routes = self.spiffe_id
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.load_key(self._context, key, enrolled.credential.svid_chain)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.raw = b""
        self.closes_silently = False
        """Whether connections end without TLS's word for it, as anybody on the way can end them."""
        self.holds: threading.Event | None = None
        """What an answer waits for."""
        self.asked = threading.Event()
        self.requests: list[bytes] = []
        self.handshakes = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                plain = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(plain,), daemon=True).start()

    def _answer(self, plain: socket.socket) -> None:
        plain.settimeout(20)
        try:
            with self._context.wrap_socket(plain, server_side=True) as wrapped:
                self.handshakes += 1
                asked = wrapped.recv(65_536)
                if not asked:
                    return
                self.requests.append(asked)
                self.asked.set()
                if self.holds is not None:
                    self.holds.wait(60)
                wrapped.sendall(self._routes() if ROUTES_PATH.encode() in asked else self.raw)
                if not self.closes_silently:
                    wrapped.unwrap()
        except OSError:
            # The client may leave whenever it likes.
            return

    def _routes(self) -> bytes:
        body = json.dumps({"verifier": self.verifier_in_routes, "routes": ROUTES}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
