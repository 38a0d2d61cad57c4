"""Mutual TLS between workloads: each presents its SVID of the moment and proves the other's before a byte goes on.

Each peer is proven against the bundle of its own trust domain. TLS 1.3 alone, and no session is resumed. Who is spoken
with is always said: a proven stranger is still a stranger. The server's side is `mutual_tls_server`.

See: X509-SVID section 5; SPIFFE_Workload_API.md sections 4.6, 5.2.1 and 8
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import httpx

from ..client import AgentTransport, AsyncAgentTransport
from ..errors import TrustWardenError, fail
from ..fetch import Meaning, outgoing_of, response_of
from ..keys import InstanceKey
from ..runtime import now_seconds
from ..spiffe import SpiffeId, parse_spiffe_id, parse_trust_domain, trust_domain_of
from ..tls import anonymous_context, connect_tls, load_key
from ..transport import HttpsCall, Pool
from ..x509 import X509Svid, verify_x509_svid
from .answers import WorkloadX509Svid
from .x509_source import X509Source

Accept: TypeAlias = Callable[[SpiffeId], bool]
"""Asked about every peer that proved its identity."""

_OF_THE_HANDSHAKE = ("no_svid", "svid_malformed")


@dataclass(frozen=True)
class MutualTls:
    """Who we are, and with whom we speak."""

    source: X509Source
    accept: Accept
    """`accept_ids`, `accept_trust_domain`, or a rule of one's own."""
    on_refusal: Callable[[TrustWardenError], None] | None = None
    """Hears why a peer was refused, or why nobody could be served; the peer is told nothing."""


@dataclass(frozen=True)
class PeerConnection:
    """A connection whose other end is proven and accepted."""

    socket: ssl.SSLSocket
    peer: SpiffeId


def accept_ids(*ids: str) -> Accept:
    """Accepts the named workloads. Raises `spiffe_id_malformed`."""
    accepted = frozenset(map(parse_spiffe_id, ids))
    return lambda peer: peer in accepted


def accept_trust_domain(name: str) -> Accept:
    """Accepts every workload of a trust domain. Raises `spiffe_id_malformed`."""
    accepted = parse_trust_domain(name)
    return lambda peer: trust_domain_of(peer) == accepted


def connect_mutual_tls(options: MutualTls, *, host: str, port: int, timeout: float = 10.0) -> PeerConnection:
    """Connects to a workload; the caller closes the socket. `timeout` is for TCP and the handshake.

    Raises `peer_untrusted`, whose cause says why; as `X509Source.svid`; `server_unreachable`.
    """
    check = _WorkloadCheck(options, options.source.svid())
    with _only_proven():
        connection = connect_tls(host, port, check, timeout)
    if connection.svid is None:
        raise RuntimeError("a checked connection has a peer")
    connection.socket.settimeout(None)
    return PeerConnection(connection.socket, connection.svid.id)


def create_mutual_tls_agent(options: MutualTls) -> MutualTlsAgent:
    """A transport for `httpx.Client` and `httpx.AsyncClient`, as in `httpx.Client(transport=...)`.

    A request to who is not proven and accepted raises `peer_untrusted` before a byte of it left.
    """
    return MutualTlsAgent(options)


class MutualTlsAgent(AgentTransport, AsyncAgentTransport):
    """Owns the connections of one source; those of one SVID are never used for another."""

    def __init__(self, options: MutualTls) -> None:
        """For this package; see `create_mutual_tls_agent`."""
        super().__init__(self._send)
        self._options = options
        self._lock = threading.Lock()
        self._svid: WorkloadX509Svid | None = None
        self._pool: Pool | None = None

    def close(self) -> None:
        """Closes every connection."""
        with self._lock:
            pool, self._pool, self._svid = self._pool, None, None
        if pool is not None:
            pool.close()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def _send(self, request: httpx.Request, _: Meaning) -> httpx.Response:
        outgoing = outgoing_of(request, Meaning())
        sent, body = outgoing.request, outgoing.request.body if outgoing.has_body else None
        call = HttpsCall(outgoing.origin, sent.method, sent.target, outgoing.headers, body, outgoing.timeout)
        with _only_proven():
            return response_of(request, self._pool_of_the_moment().send(call), None)

    def _pool_of_the_moment(self) -> Pool:
        svid = self._options.source.svid()
        with self._lock:
            if self._pool is not None and self._svid is svid:
                return self._pool
            old, pool = self._pool, Pool(_WorkloadCheck(self._options, svid))
            self._pool, self._svid = pool, svid
        if old is not None:
            old.retire()
        return pool


def require_accepted(chain: Sequence[bytes], options: MutualTls) -> X509Svid:
    """The SVID of a peer that is proven and accepted. Raises `peer_untrusted`."""
    try:
        svid = verify_x509_svid(chain, options.source.current().bundles, now_seconds())
    except TrustWardenError as cause:
        raise fail("peer_untrusted", {"reason": cause.code}) from cause
    # A rule of the caller's that gives anything else than a plain yes has not said yes.
    if options.accept(svid.id) is not True:
        raise fail("peer_untrusted", {"reason": "not accepted", "peer": svid.id})
    return svid


class _WorkloadCheck:
    """What we present with one SVID, and whom we accept."""

    def __init__(self, options: MutualTls, svid: WorkloadX509Svid) -> None:
        self._options = options
        self._svid = svid

    @property
    def identity(self) -> _WorkloadCheck:
        """Ourselves."""
        return self

    def context(self) -> ssl.SSLContext:
        """Key and chain; made once for an SVID, since it costs as much as many handshakes."""
        with _presenting:
            known = _presented.get(self._options.source)
            if known is not None and known[0] is self._svid:
                return known[1]
            context = anonymous_context()
            load_key(context, InstanceKey(self._svid.private_key), self._svid.chain)
            _presented[self._options.source] = (self._svid, context)
            return context

    def require(self, chain: Sequence[bytes]) -> X509Svid:
        """Raises `peer_untrusted`."""
        return require_accepted(chain, self._options)


@contextlib.contextmanager
def _only_proven() -> Generator[None, None, None]:
    """A peer that shows no chain, or a resumed one, is a peer that is not proven."""
    try:
        yield
    except TrustWardenError as cause:
        if cause.code not in _OF_THE_HANDSHAKE:
            raise
        raise fail("peer_untrusted", {"reason": cause.code}) from cause


_presenting = threading.Lock()
_presented: WeakKeyDictionary[X509Source, tuple[WorkloadX509Svid, ssl.SSLContext]] = WeakKeyDictionary()
"""Of each source the context of its latest SVID."""
