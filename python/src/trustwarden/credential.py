"""One SVID with everything that is bound to it: its key, and the connections that present it.

A renewal makes a new credential with a new key. A connection keeps the certificate of its handshake, so signing with
one SVID over a connection of another would be refused: whoever acts takes one credential and uses both from it.
"""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING

from .answers import IdentityAnswer
from .errors import fail
from .keys import InstanceKey
from .runtime import now_seconds
from .tls import PeerCheck, client_context
from .transport import Pool
from .x509 import verify_x509_svid

if TYPE_CHECKING:
    from .server import TrustServer

_MAX_PEERS = 64
"""Peers that one credential keeps connections to."""


class Credential:
    """A live SVID of this process, checked before anybody relies on it.

    Raises `server_untrusted` when the certificate is not for the key, or not the id that the answer says, and the codes
    of a chain.
    """

    def __init__(self, answer: IdentityAnswer, key: InstanceKey, server: TrustServer) -> None:
        self.svid = verify_x509_svid(answer.svid_chain, server.bundles, now_seconds())
        if self.svid.id != answer.spiffe_id:
            raise fail("server_untrusted", {"reason": "other id"})
        if self.svid.leaf.spki != key.spki:
            raise fail("server_untrusted", {"reason": "other key"})
        self.key = key
        self.svid_chain = answer.svid_chain
        """DER, leaf first, without the root."""
        self.expires_at = self.svid.leaf.not_after
        """Unix seconds."""
        self._server = server
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._server_pool: Pool | None = None
        self._peers: dict[str, Pool] = {}

    def context(self) -> ssl.SSLContext:
        """What TLS presents; made when it is first needed, since many an agent never opens a connection."""
        with self._lock:
            if self._context is None:
                self._context = client_context(self.key, self.svid_chain)
            return self._context

    @property
    def server_pool(self) -> Pool:
        """Connections to the TrustWarden server."""
        with self._lock:
            if self._server_pool is None:
                self._server_pool = Pool(self._server.check(self))
            return self._server_pool

    def pool_for(self, peer: str) -> Pool:
        """Connections to one peer and nobody else."""
        with self._lock:
            known = self._peers.get(peer)
            if known is not None:
                return known
            if len(self._peers) >= _MAX_PEERS:
                self._peers.pop(next(iter(self._peers))).retire()
            check = PeerCheck(lambda: self._server.bundle, lambda spiffe_id: spiffe_id == peer, identity=self)
            self._peers[peer] = pool = Pool(check)
            return pool

    def cut_visits(self) -> None:
        """Ends what is under way with services, which could only refuse it from now on."""
        with self._lock:
            pools, self._peers = [*self._peers.values()], {}
        for pool in pools:
            pool.close()

    def retire(self) -> None:
        """Lets what is under way finish and keeps nothing open after it."""
        with self._lock:
            pools = [*self._peers.values(), *([self._server_pool] if self._server_pool else [])]
            self._peers = {}
        for pool in pools:
            pool.retire()
