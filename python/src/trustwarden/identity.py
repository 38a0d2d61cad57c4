"""An agent's identity in its own process: made before the agent does anything, used for everything it does.

The private keys behind it never leave the process and are not shown: what a log, a pickler or a copier sees of an
identity is its id. What it can do is in the files named after it (`fetch.py`, `act.py`). Every method that waits has an
async twin whose name begins with `a`; it is the same call in a worker thread (`_threads.py`).
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from ._json import JsonObject
from ._threads import in_leavable_thread, in_thread
from .act import Action, SelfAction
from .agent_card import sign_card, verify_card
from .answers import parse_revocation
from .contact import ServerAddress
from .enrol import read_grant, read_ticket
from .environment import ticket_from_environment
from .grant import (
    Expected,
    SignedGrant,
    Wanted,
    expected_of,
    format_request,
    issue_grant,
    parse_request,
    require_ticket_for,
)
from .identity_facts import IdentityFacts
from .identity_life import IdentityLife, begin_at, enrol_with
from .identity_visits import IdentityVisits
from .keys import InstanceKey
from .models import Composition, Limits, RevocationAnswer
from .registry import LIVE
from .routes import Place
from .runtime import now_seconds
from .server import ServerCall, encode_body
from .session import AgentSession
from .wit import AgentWit, fetch_wit


class IdentityRequest:
    """A child's request to a parent in another process, and the key it is for."""

    def __init__(self, wanted: Wanted) -> None:
        self._key = InstanceKey()
        self._wanted = wanted
        self.text, self._expected = format_request(wanted, self._key.thumbprint)
        """Hand `text` to the parent; it holds no secret."""

    def complete(self, grant: str) -> AgentIdentity:
        """Becomes the identity that the parent granted. `grant` is what `parent.grant(text)` gave."""
        held = read_grant(grant)
        return _enrol_at(held.address, self._key, held.envelope, self._expected, self._wanted.composition)

    async def acomplete(self, grant: str) -> AgentIdentity:
        """As `complete`, off the event loop."""
        return await in_thread(lambda: self.complete(grant), AgentIdentity.close)


class AgentIdentity(IdentityLife, IdentityFacts, IdentityVisits):
    """A live instance of an agent. Close it when its work is done, or use it as a context manager."""

    def __init__(self, session: AgentSession, place: Place) -> None:
        """For this package; `create`, `spawn` and `request` make identities."""
        super().__init__(session, place)
        LIVE.add(self)

    @classmethod
    def create(
        cls,
        *,
        name: str,
        scope: Sequence[str] | None = None,
        ttl: str | None = None,
        parent: str | AgentIdentity | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
        ticket: str | None = None,
    ) -> AgentIdentity:
        """Creates an instance: with its owner's ticket, or as the child of a live identity of this process.

        `scope` are permissions `verb:type[:path]`, without a parent the ticket's when absent; `ttl` is the lifetime of
        the instance, such as `1h`, within which its SVIDs are renewed; `ticket` is a `TRUSTWARDEN_TICKET` value, the
        variable itself when absent.

        Raises `ticket_missing`, `ticket_mismatch`, `parent_proof_missing`, `scope_not_subset` (its `counterexample`
        names an action that the parent could not do) and the server's other refusals, `server_untrusted`,
        `server_unreachable`.
        """
        wanted = Wanted(name, scope, ttl, limits, composition)
        if parent is not None:
            return LIVE.get(parent)._spawn(wanted)
        held = read_ticket(ticket if ticket is not None else ticket_from_environment())
        expected = require_ticket_for(wanted, held.unverified)
        return _enrol_at(held.address, InstanceKey(), held.envelope, expected, composition)

    @classmethod
    async def acreate(
        cls,
        *,
        name: str,
        scope: Sequence[str] | None = None,
        ttl: str | None = None,
        parent: str | AgentIdentity | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
        ticket: str | None = None,
    ) -> AgentIdentity:
        """As `create`, off the event loop."""
        return await in_thread(
            lambda: cls.create(
                name=name,
                scope=scope,
                ttl=ttl,
                parent=parent,
                limits=limits,
                composition=composition,
                ticket=ticket,
            ),
            AgentIdentity.close,
        )

    @classmethod
    def request(
        cls,
        *,
        name: str,
        scope: Sequence[str],
        ttl: str | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
    ) -> IdentityRequest:
        """Starts an identity whose parent lives in another process. The new key stays here.

        Raises `name_malformed`, `scope_malformed`, `ttl_malformed`.
        """
        return IdentityRequest(Wanted(name, scope, ttl, limits, composition))

    def spawn(
        self,
        *,
        name: str,
        scope: Sequence[str],
        ttl: str | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
    ) -> AgentIdentity:
        """Makes a child in this process. Raises as `create`."""
        return self._spawn(Wanted(name, scope, ttl, limits, composition))

    async def aspawn(
        self,
        *,
        name: str,
        scope: Sequence[str],
        ttl: str | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
    ) -> AgentIdentity:
        """As `spawn`, off the event loop."""
        wanted = Wanted(name, scope, ttl, limits, composition)
        return await in_thread(lambda: self._spawn(wanted), AgentIdentity.close)

    def grant(self, request: str) -> str:
        """Grants what a child in another process requested, for the next minute and once.

        Raises `request_malformed` and the codes of its members, `identity_closed`, `identity_expired`.
        """
        wanted, thumbprint = parse_request(request)
        return self._issue_grant(wanted, thumbprint).text

    def act(
        self,
        action: str,
        resource: str,
        params: JsonObject | None = None,
        *,
        approval: str | None = None,
        job: str | None = None,
    ) -> Action:
        """An action in this process that no service guards (`enforcement: self`).

        A context manager, an async one, and a decorator. Only a salted commitment of `params` leaves the process.
        """
        return Action(self._session, SelfAction(action, resource, params, approval, job))

    def wait_for_approval(self, request: str, *, timeout: float = 900.0) -> str:
        """Asks the owner about a call that ended with `approval_required`, and waits for the answer.

        `request` is the error's. Then make exactly the same call again with `approval` set to what this gives. Raises
        `approval_denied`, `approval_expired`, `approvals_pending`, and the server's refusals.
        """
        return self._wait_for_approval(request, timeout, threading.Event())

    async def await_approval(self, request: str, *, timeout: float = 900.0) -> str:
        """As `wait_for_approval`, off the event loop. Cancelling ends the waiting, and the question stays."""
        left = threading.Event()
        return await in_leavable_thread(lambda: self._wait_for_approval(request, timeout, left), left.set)

    def revoke(self, reason: str = "", *, child: str | AgentIdentity | None = None) -> RevocationAnswer:
        """Ends this identity and everything below it, or one descendant and everything below that.

        Answers when every service has confirmed or lost its lease. Raises `denied` for what is no descendant.
        """
        target = self if child is None else child
        target_id = target if isinstance(target, str) else target.instance_id
        body = encode_body({"target": {"kind": "instance", "id": target_id}, "reason": reason})
        call = ServerCall("POST", "/v1/revocations", body, is_stop=True)
        answer = parse_revocation(self._session.call("revoke:instance", call))
        if child is None:
            self.close()
        return answer

    async def arevoke(self, reason: str = "", *, child: str | AgentIdentity | None = None) -> RevocationAnswer:
        """As `revoke`, off the event loop."""
        return await in_thread(lambda: self.revoke(reason, child=child))

    def jwt(self, audience: str) -> str:
        """A JWT-SVID for one audience, for systems that take no certificate; our own services refuse it."""
        call = ServerCall("POST", "/v1/jwt-svids", encode_body({"audience": audience}))
        return self._session.call("issue:jwt-svid", call).text("svid")

    async def ajwt(self, audience: str) -> str:
        """As `jwt`, off the event loop."""
        return await in_thread(lambda: self.jwt(audience))

    def wit(self) -> AgentWit:
        """A WIT-SVID with a new key: for services that ask for proof of possession. It lives for minutes; ask again."""
        return fetch_wit(self._session)

    async def awit(self) -> AgentWit:
        """As `wit`, off the event loop."""
        return await in_thread(self.wit)

    def sign_agent_card(self, card: JsonObject) -> JsonObject:
        """An A2A card, signed by this instance; sign again when the SVID is renewed. Raises `agent_card_malformed`."""
        credential = self._session.holder.current()
        return sign_card(card, credential.svid_chain, credential.key)

    def verify_agent_card(self, card: JsonObject) -> str:
        """The SPIFFE ID of who published an A2A card. Raises `agent_card_malformed`, `signature_invalid`."""
        return verify_card(card, self._session.server.bundles, now_seconds())

    def when_stopped(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls a listener once, on another thread, when this identity is stopped; what is given back ends the watch.

        Within a second while the server can be reached: for work that has begun and would learn it by its next action.
        Connections to services are closed first. While somebody listens the process asks three times a second, and it
        asks no more while a listener works: that must not wait.
        """
        return self._session.when_stopped(listener)

    def renew(self) -> None:
        """Takes a new key and SVID now, as happens by itself at half life. Raises the server's refusal."""
        self._session.holder.renew()

    async def arenew(self) -> None:
        """As `renew`, off the event loop."""
        await in_thread(self.renew)

    def close(self) -> None:
        """Forgets the key and closes the connections. The identity stays valid until it ends; `revoke` ends it."""
        LIVE.remove(self)
        super().close()

    def __repr__(self) -> str:
        return f"AgentIdentity({self.id})"

    def __reduce__(self) -> NoReturn:
        """Never leaves the process, nor into a copy."""
        raise TypeError("an identity is neither copied nor pickled; see AgentIdentity.request")

    def _wait_for_approval(self, request: str, timeout: float, left: threading.Event) -> str:
        return self._session.questions.wait(self._session.call, request, timeout, left)

    def _spawn(self, wanted: Wanted) -> AgentIdentity:
        key = InstanceKey()
        granted = self._issue_grant(wanted, key.thumbprint)
        place, composition = self._place, wanted.composition
        return enrol_with(AgentIdentity, place, key, granted.envelope, granted.expected, composition)

    def _issue_grant(self, wanted: Wanted, thumbprint: str) -> SignedGrant:
        expected_of(wanted)
        credential = self._session.holder.current()
        return issue_grant(wanted, thumbprint, self._session.answer, credential, self._place.server)


def _enrol_at(
    address: ServerAddress, key: InstanceKey, envelope: str, expected: Expected, composition: Composition | None
) -> AgentIdentity:
    return begin_at(address, lambda place: enrol_with(AgentIdentity, place, key, envelope, expected, composition))


def _close_all() -> None:
    for identity in LIVE.all():
        identity.close()


atexit.register(_close_all)
