"""How an identity begins without a ticket, and how each one ends.

What begins by a ticket, a grant or a parent is in `identity.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from ._threads import in_leavable_thread, in_thread
from .attest import EvidenceSource, enrol_by_evidence
from .claim import ClaimCode, Patience, Wish, wait_to_be_claimed
from .contact import ServerAddress, parse_origin, read_pinned_trust_domain
from .credential import Credential
from .enrol import Enrolled, enrol
from .foreign import SvidSource, next_foreign_credential, read_registration
from .grant import Expected, require_issued_as
from .keys import InstanceKey
from .models import Composition
from .routes import PeerRoutesCache, Place
from .server import connect_server
from .session import AgentSession

Life = TypeVar("Life", bound="IdentityLife")


class IdentityLife:
    """The part of `AgentIdentity` that begins by evidence, by another's SVID or by a human's answer, and that ends."""

    def __init__(self, session: AgentSession, place: Place) -> None:
        self._session = session
        self._place = place

    @classmethod
    def attest(
        cls: type[Life],
        *,
        server: str,
        authorities_sha256: str,
        evidence: EvidenceSource,
        entry_id: str | None = None,
        name: str | None = None,
        composition: Composition | None = None,
    ) -> Life:
        """Becomes the agent that a registration entry makes of this process, by its platform's evidence.

        `server` is an https origin, and `authorities_sha256` pins its authorities, as its operator reads it in
        `/.well-known/trustwarden`. `entry_id` says which entry is meant where several could match, `name` which agent
        it must make.

        Raises `evidence_unavailable`, `entry_not_matched` and the server's other refusals, `server_untrusted`,
        `server_unreachable`.
        """

        def begin(place: Place) -> Life:
            enrolled, agent_id = enrol_by_evidence(
                place.server, evidence, entry_id=entry_id, name=name, composition=composition
            )
            return cls(AgentSession(enrolled, agent_id, place.server, composition=composition), place)

        return begin_at(_pinned(server, authorities_sha256), begin)

    @classmethod
    async def aattest(
        cls: type[Life],
        *,
        server: str,
        authorities_sha256: str,
        evidence: EvidenceSource,
        entry_id: str | None = None,
        name: str | None = None,
        composition: Composition | None = None,
    ) -> Life:
        """As `attest`, off the event loop."""
        return await in_thread(
            lambda: cls.attest(
                server=server,
                authorities_sha256=authorities_sha256,
                evidence=evidence,
                entry_id=entry_id,
                name=name,
                composition=composition,
            ),
            cls.close,
        )

    @classmethod
    def from_svid(cls: type[Life], *, registration: str, svid: SvidSource) -> Life:
        """The identity of a workload of a federated trust domain that its owner registered here.

        It acts with the SVID that its own issuer gives it, has no children, and gets no SVID or token from this
        server. `registration` is the `twf1.` text of its registration, which holds no secret; `svid` gives the SVID of
        the moment, and is asked at the start and at each half life.

        Raises `entry_invalid` for the registration, `svid_mismatch`, `svid_key_refused`, `trust_domain_unknown` and the
        other codes of a chain, `server_untrusted`, `server_unreachable`; and whatever the source of SVIDs raises.
        """
        registered = read_registration(registration)

        def begin(place: Place) -> Life:
            def following(_: Credential | None = None) -> Credential:
                return next_foreign_credential(registered.answer, svid, place.server)

            enrolled = Enrolled(registered.answer, following())
            return cls(AgentSession(enrolled, registered.agent_id, place.server, renew=following), place)

        return begin_at(registered.address, begin)

    @classmethod
    async def afrom_svid(cls: type[Life], *, registration: str, svid: SvidSource) -> Life:
        """As `from_svid`, off the event loop."""
        return await in_thread(lambda: cls.from_svid(registration=registration, svid=svid), cls.close)

    @classmethod
    def register(
        cls: type[Life],
        *,
        server: str,
        authorities_sha256: str,
        name: str,
        scope: Sequence[str],
        on_code: Callable[[ClaimCode], None],
        path: str = "",
        ttl: str | None = None,
        owner: str | None = None,
        composition: Composition | None = None,
        timeout: float | None = None,
    ) -> Life:
        """Registers an agent that nobody has permitted yet, and waits until somebody who is shown its claim code has.

        `on_code` is called once, and shows the code to who is to answer for the agent. `owner` (`own_…`) is the only
        one who may claim it; whoever has the code unless given. `timeout` is how long to wait, in seconds; as long as
        the server does unless given. The agent then has what that owner signed, which may be less than was asked for.

        Raises `claim_unknown` when nobody answered in time, `claim_waiting` when `timeout` was shorter,
        `registration_costly`, the codes of a name or scope, `ticket_mismatch`, `server_untrusted`,
        `server_unreachable`.
        """
        wish = Wish(name, path, scope, ttl, owner)
        return _register(cls, _pinned(server, authorities_sha256), wish, on_code, composition, Patience(timeout))

    @classmethod
    async def aregister(
        cls: type[Life],
        *,
        server: str,
        authorities_sha256: str,
        name: str,
        scope: Sequence[str],
        on_code: Callable[[ClaimCode], None],
        path: str = "",
        ttl: str | None = None,
        owner: str | None = None,
        composition: Composition | None = None,
        timeout: float | None = None,
    ) -> Life:
        """As `register`, off the event loop; `on_code` is called on another thread. Cancelling ends the waiting."""
        wish, patience = Wish(name, path, scope, ttl, owner), Patience(timeout)

        def begin() -> Life:
            return _register(cls, _pinned(server, authorities_sha256), wish, on_code, composition, patience)

        return await in_leavable_thread(begin, patience.left.set, cls.close)

    def close(self) -> None:
        """Reports what waits, and lets go of keys and connections."""
        self._session.close()

    async def aclose(self) -> None:
        """As `close`, off the event loop."""
        await in_thread(self.close)

    def __enter__(self: Life) -> Life:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self: Life) -> Life:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def enrol_with(
    make: Callable[[AgentSession, Place], Life],
    place: Place,
    key: InstanceKey,
    envelope: str,
    expected: Expected,
    composition: Composition | None,
) -> Life:
    """Enrols a key with a ticket or grant."""
    enrolled = enrol(place.server, key, envelope, composition)
    agent_id = require_issued_as(enrolled.answer, expected)
    return make(AgentSession(enrolled, agent_id, place.server, composition=composition), place)


def begin_at(address: ServerAddress, begin: Callable[[Place], Life]) -> Life:
    """Begins an identity at a server; nothing stays open when that fails."""
    server = connect_server(address)
    try:
        return begin(Place(server, PeerRoutesCache(server)))
    except BaseException:
        server.close()
        raise


def _register(
    make: Callable[[AgentSession, Place], Life],
    address: ServerAddress,
    wish: Wish,
    on_code: Callable[[ClaimCode], None],
    composition: Composition | None,
    patience: Patience,
) -> Life:
    def begin(place: Place) -> Life:
        key = InstanceKey()
        envelope, expected = wait_to_be_claimed(place.server, key, wish, on_code, patience)
        return enrol_with(make, place, key, envelope, expected, composition)

    return begin_at(address, begin)


def _pinned(server: str, authorities_sha256: str) -> ServerAddress:
    domain = read_pinned_trust_domain(parse_origin(server), authorities_sha256)
    return ServerAddress(server, domain, authorities_sha256)
