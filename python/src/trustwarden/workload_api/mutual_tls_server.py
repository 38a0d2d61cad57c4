"""A server of TCP whose every connection is a proven and accepted peer's.

Python's `ssl` asks for a client's certificate only together with a check of its own, so a chain that leads to no root
at hand ends in the handshake; every chain that passes is proven again by our own code, against the bundle of its own
trust domain. Without an identity, and for who is refused, connections are closed without a word.
"""

from __future__ import annotations

import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from typing import Any

from ..errors import TrustWardenError, fail
from ..keys import InstanceKey
from ..runtime import notify
from ..service.tls_server import peer_chain_of
from ..tls import server_context
from .answers import WorkloadX509State, WorkloadX509Svid
from .mutual_tls import MutualTls, PeerConnection, require_accepted

_HANDSHAKE_SECONDS = 10.0
_MAX_CONNECTIONS = 512
"""Each has a thread, also before anybody is proven."""


def create_mutual_tls_server(
    options: MutualTls,
    on_connection: Callable[[PeerConnection], None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
) -> MutualTlsServer:
    """Listens; `serve_forever` serves, each peer on a thread of its own, and `server_address` says where.

    A connection lasts as long as `on_connection` does.
    """
    return MutualTlsServer(options, on_connection, host, port)


class MutualTlsServer(socketserver.ThreadingTCPServer):
    """As any server of `socketserver`: `serve_forever`, `shutdown`, `server_close`."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self, options: MutualTls, on_connection: Callable[[PeerConnection], None], host: str, port: int
    ) -> None:
        """For this package; see `create_mutual_tls_server`."""
        self._options = options
        self._on_connection = on_connection
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._lock = threading.Lock()
        self._presented: tuple[WorkloadX509State, WorkloadX509Svid, ssl.SSLContext] | None = None
        is_v6 = ":" in host and ipaddress.ip_address(host).version == 6
        self.address_family = socket.AF_INET6 if is_v6 else socket.AF_INET
        super().__init__((host, port), socketserver.BaseRequestHandler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a place for one more."""
        return self._places.acquire(blocking=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for it; one that cannot be begun keeps no place."""
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, from its handshake to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Proves the peer, and hands it on."""
        connection = self._admit(request)
        if connection is None:
            return
        with connection.socket:
            self._on_connection(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What a connection's own work raised ends that connection and nothing else."""
        notify("internal", "The work for a connection of mutual TLS failed.")

    def _admit(self, raw: socket.socket) -> PeerConnection | None:
        try:
            wrapped = self._shake_hands(raw)
        except TrustWardenError as refusal:
            self._tell(refusal)
            return None
        try:
            peer = require_accepted(_chain_of(wrapped), self._options).id
        except TrustWardenError as refusal:
            wrapped.close()
            self._tell(refusal)
            return None
        wrapped.settimeout(None)
        return PeerConnection(wrapped, peer)

    def _shake_hands(self, raw: socket.socket) -> ssl.SSLSocket:
        context = self._context()
        raw.settimeout(_HANDSHAKE_SECONDS)
        try:
            return context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False)
        except OSError as cause:
            raise fail("peer_untrusted", {"reason": "handshake"}) from cause

    def _context(self) -> ssl.SSLContext:
        """What is presented at this moment, and the roots of this moment; made when either has changed."""
        source = self._options.source
        state, svid = source.current(), source.svid()
        with self._lock:
            known = self._presented
            if known is not None and known[0] is state and known[1] is svid:
                return known[2]
            roots = [root.der for bundle in state.bundles.values() for root in bundle.x509_authorities]
            context = server_context(InstanceKey(svid.private_key), svid.chain, roots, ssl.CERT_REQUIRED)
            self._presented = (state, svid, context)
            return context

    def _tell(self, refusal: TrustWardenError) -> None:
        if self._options.on_refusal is not None:
            self._options.on_refusal(refusal)


def _chain_of(wrapped: ssl.SSLSocket) -> tuple[bytes, ...]:
    try:
        return peer_chain_of(wrapped)
    except TrustWardenError as cause:
        raise fail("peer_untrusted", {"reason": cause.code}) from cause
