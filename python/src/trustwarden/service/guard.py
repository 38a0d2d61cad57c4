"""`verify_agent`: for a service that agents visit.

Enrols the service as a verifier, holds its lease, and puts the one path around its application. Nothing but the
published route table is answered to anybody who does not walk the whole path.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from .. import scheduler
from .._threads import in_thread
from ..bundle import TrustBundle
from ..contact import parse_origin
from ..credential import Credential
from ..enrol import enrol, read_ticket, renew_credential
from ..environment import relays_from_environment, ticket_from_environment
from ..errors import TrustWardenError, fail
from ..keys import InstanceKey
from ..outcomes import OutcomeSpool, send_outcomes
from ..renewal import SvidHolder
from ..route_table import Route, RouteTable, create_route_table
from ..runtime import notify
from ..server import TrustServer, connect_server
from ..spiffe import parse_spiffe_id, path_of
from ..transport import Origin
from .asgi import AsgiApp, guard_asgi
from .evaluate import Evaluation, Question, ask_about
from .lease import Lease, LeaseFollower
from .lease_places import LeasePlaces, parse_relays
from .reception import Reception
from .tls_server import ServerTls
from .visit import Refusal

if TYPE_CHECKING:
    from .wsgi import WsgiApp

OnRefusal = Callable[[Refusal], None]
"""Hears exactly what stopped a visit, for the service's own log."""

_BUNDLES_PATH = "/v1/bundles"
_RENEWAL_SPREAD_SECONDS = 2.0
"""Services are fewer than agents, and agents find the way to a peer only while its chain counts."""


def verify_agent(
    routes: Sequence[Route],
    *,
    name: str | None = None,
    ticket: str | None = None,
    relays: Sequence[str] | None = None,
    on_refusal: OnRefusal | None = None,
) -> GuardAgents:
    """Enrols the service and waits for its lease. May block for as long as the server takes.

    `routes` say what each request means; nothing else is served. `ticket` is a verifier's `TRUSTWARDEN_TICKET` value,
    the variable itself when absent; `name` must be the ticket's, when given: a check against a mixed-up ticket.
    `relays` are origins to take the lease from instead of the server, the next when one fails; `TRUSTWARDEN_RELAYS`
    when absent.

    Raises: TrustWardenError `config_invalid` for the route table and for more than 64 relays, `ticket_missing`,
    `ticket_mismatch`, `server_untrusted`, `server_unreachable`, and the server's refusals.
    """
    table = create_route_table(routes)
    held = read_ticket(ticket if ticket is not None else ticket_from_environment())
    if held.unverified.get("kind") != "verifier":
        raise fail("ticket_mismatch", {"field": "kind"})
    if name is not None and held.unverified.get("name") != name:
        raise fail("ticket_mismatch", {"field": "name"})
    # Before a ticket is spent on a verifier that could not follow them.
    origins = parse_relays(relays_from_environment() if relays is None else relays)
    server = connect_server(held.address)
    try:
        opened = _Opened(server, held.envelope, origins)
    except BaseException:
        server.close()
        raise
    return GuardAgents(opened, table, on_refusal or _ignore)


class GuardAgents:
    """A service's guard. Close it after the server."""

    def __init__(self, opened: _Opened, table: RouteTable, on_refusal: OnRefusal) -> None:
        self._opened = opened
        self._table = table
        self._on_refusal = on_refusal

    @property
    def id(self) -> str:
        """SPIFFE ID of the service: the `aud` of intents for it."""
        return self._opened.reception.id

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """For the server: TLS 1.3, the service's SVID as it is renewed, and the question for the visitor's."""
        return self._opened.tls.context

    def asgi(self, app: AsgiApp) -> AsgiApp:
        """An ASGI application that calls yours for allowed visits only.

        The server has to hand over the visitor's certificates: see `trustwarden.service.uvicorn`.
        """
        return guard_asgi(self._opened.reception, self._table, app, self._on_refusal)

    def wsgi(self, app: WsgiApp) -> WsgiApp:
        """The same for WSGI, under a server that shows its socket (`gunicorn`) or the certificates (`mod_wsgi`)."""
        from .wsgi import guard_wsgi

        return guard_wsgi(self._opened.reception, self._table, app, self._on_refusal)

    def evaluate(self, spiffe_id: str, questions: Sequence[Question]) -> tuple[Evaluation, ...]:
        """Whether a visitor may do these things too: for what a route cannot say. May block.

        Each answer is an `evaluation` in the ledger. Raises `action_malformed`, `lease_expired`, the server's refusal,
        `server_unreachable`.
        """
        reception = self._opened.reception
        pool = reception.holder.current().server_pool
        answers = ask_about(reception.server, pool, spiffe_id, questions)
        reception.lease.require_fresh()
        return answers

    async def aevaluate(self, spiffe_id: str, questions: Sequence[Question]) -> tuple[Evaluation, ...]:
        """As `evaluate`, off the event loop."""
        return await in_thread(lambda: self.evaluate(spiffe_id, questions))

    def renew(self) -> None:
        """Takes a new key and SVID now, as happens by itself at half life."""
        self._opened.reception.holder.renew()

    def close(self) -> None:
        """Ends the lease, after which every visit is refused, cuts those under way, and reports."""
        self._opened.close()

    def __enter__(self) -> GuardAgents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Opened:
    """An enrolled service: owns what the guard works with until `close`."""

    def __init__(self, server: TrustServer, envelope: str, relays: Sequence[Origin]) -> None:
        self.server = server
        self._lock = threading.Lock()
        self._is_closed = False
        enrolled = enrol(server, InstanceKey(), envelope, None)
        spiffe_id = parse_spiffe_id(enrolled.answer.spiffe_id)
        if not path_of(spiffe_id).startswith("/trustwarden/verifier/"):
            raise fail("server_untrusted", {"reason": "id"})
        self.server.refresh_federated()
        self.tls = ServerTls(enrolled.credential, self._known_bundles())
        self._holder = holder = SvidHolder(enrolled.credential, self._renew, enrolled.answer.instance_expires_at)
        follower = LeaseFollower(on_kinds=self._on_kinds, on_connected=self._on_connected)
        check = server.check(_Latest(holder))
        lease = Lease(LeasePlaces(lambda: parse_origin(server.discovery.stop_url), relays, check), follower)
        try:
            lease.wait_ready()
        except BaseException:
            lease.close()
            holder.close()
            raise
        self._unfollow = server.on_authority(self._on_authority)
        server.retain()
        self.reception = Reception(
            spiffe_id=spiffe_id,
            server=server,
            holder=holder,
            lease=lease,
            outcomes=OutcomeSpool(lambda sent: send_outcomes(server, holder.latest.server_pool, sent)),
        )

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._unfollow()
        self.reception.lease.close()
        # Each end is signed with the key at hand, so both stay until the last is reported.
        self.reception.visits.close()
        self.reception.outcomes.close()
        self._holder.close()
        self.server.release()

    def _renew(self, current: Credential) -> Credential:
        following = renew_credential(self.server, current, lambda _: {}, None)
        self.tls.update(following, self._known_bundles())
        return following

    def _on_connected(self) -> None:
        # What happened while nobody listened was not told.
        scheduler.soon(self._ask_anew)

    def _on_kinds(self, kinds: frozenset[str]) -> None:
        if kinds & {"authority", "federation"}:
            scheduler.soon(self._ask_anew)

    def _on_authority(self) -> None:
        if self.server.must_renew(self._holder.latest.svid.leaf):
            self._holder.renew_soon(_RENEWAL_SPREAD_SECONDS)

    def _ask_anew(self) -> None:
        try:
            self.server.refresh()
            self.server.refresh_federated()
            self.tls.update(self._holder.latest, self._known_bundles())
        except Exception as error:
            # Safe to go on: the bundles at hand only say whose chain is a good one; the server decides with its own.
            if not self._is_closed:
                code = error.code if isinstance(error, TrustWardenError) else "internal"
                notify(code, "The trust bundles could not be read again.")

    def _known_bundles(self) -> list[TrustBundle]:
        return [*self.server.bundles.values()]


class _Latest:
    """What connections present: the SVID of the moment, also when it has ended. The other side refuses it then."""

    def __init__(self, holder: SvidHolder) -> None:
        self._holder = holder

    def context(self) -> ssl.SSLContext:
        return self._holder.latest.context()


def _ignore(_: Refusal) -> None:
    """Nobody listens."""
