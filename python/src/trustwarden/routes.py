"""The route tables of the services that an agent visits, read once per origin.

The document is believed only from a peer whose own SVID is a verifier of the agent's trust domain, and only about that
very peer; from then on connections to this origin are accepted from that id alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ._bytes import parse_utf8
from .errors import fail
from .route_table import ROUTES_PATH, RouteMatch, RouteTable, parse_request_target, parse_routes_document
from .server import TrustServer
from .spiffe import SpiffeId, parse_spiffe_id, path_of, trust_domain_of
from .tls import PeerCheck
from .transport import HttpsCall, Origin, Pool

_MAX_DOCUMENT_BYTES = 262_144
_MAX_ORIGINS = 64


@dataclass(frozen=True)
class PeerRoutes:
    """A service that proved to be a verifier of our trust domain."""

    verifier: SpiffeId
    table: RouteTable

    @property
    def name(self) -> str:
        """The name in `/trustwarden/verifier/<name>/inst-<id>`."""
        return path_of(self.verifier).split("/")[3]

    def meaning_of(self, method: str, target: str) -> RouteMatch:
        """What a request is. Raises `route_unknown`, `request_malformed`, `action_malformed`."""
        return self.table.match(method, parse_request_target(target))


class PeerRoutesCache:
    """Remembers the tables; one a server. A failed read is not kept."""

    def __init__(self, server: TrustServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._known: dict[Origin, PeerRoutes] = {}

    def get(self, origin: Origin) -> PeerRoutes:
        """The table of an origin. Raises `peer_untrusted`, `server_unreachable`, `route_unknown`."""
        known = self._known.get(origin)
        if known is None:
            known = self._read(origin)
            with self._lock:
                self._known[origin] = known
                if len(self._known) > _MAX_ORIGINS:
                    del self._known[next(iter(self._known))]
        return known

    def forget(self, origin: Origin) -> None:
        """The next visit reads the table again: the service has a new identity."""
        with self._lock:
            self._known.pop(origin, None)

    def _read(self, origin: Origin) -> PeerRoutes:
        pool = Pool(PeerCheck(lambda: self._server.bundle, self._is_verifier))
        try:
            answer = pool.send(HttpsCall(origin, "GET", ROUTES_PATH, {}))
            svid = answer.connection.svid
            body = answer.read(_MAX_DOCUMENT_BYTES)
            if answer.status != 200:
                raise fail("route_unknown", {"origin": origin.text})
            if svid is None:
                raise fail("peer_untrusted", {"reason": "no SVID"})
            return parse_routes(parse_utf8(body), svid.id)
        finally:
            pool.close()

    def _is_verifier(self, text: str) -> bool:
        spiffe_id = parse_spiffe_id(text)
        is_ours = trust_domain_of(spiffe_id) == self._server.trust_domain
        return is_ours and path_of(spiffe_id).startswith("/trustwarden/verifier/")


def parse_routes(text: str, peer: SpiffeId) -> PeerRoutes:
    """A peer's route document, about itself. Raises `peer_untrusted`, `json_malformed`, `config_invalid`."""
    verifier, table = parse_routes_document(text)
    if parse_spiffe_id(verifier) != peer:
        raise fail("peer_untrusted", {"reason": "routes of another service", "peer": peer})
    return PeerRoutes(peer, table)


@dataclass(frozen=True)
class Place:
    """Where identities of one ticket live: their server, and the services they have met."""

    server: TrustServer
    routes: PeerRoutesCache
