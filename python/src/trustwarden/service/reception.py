"""The path, as a service that agents visit walks it: authenticate, decide, record, act, record.

The server decides and records in one round trip; the service proves the answer, looks at its own lease immediately
before it acts, and reports what came of it. Whatever is missing, late or odd is a deny. Everything here may block; the
asynchronous adapters call it on threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from .._bytes import encode_base64url
from .._crypto import sha256
from .._json import Json
from ..answers import Members
from ..approvals import refusal_of
from ..errors import TrustWardenError, fail
from ..outcomes import OutcomeSpool, issue_outcome
from ..receipts import (
    Receipt,
    VerifiedReceipt,
    open_receipt,
    parse_receipt,
)
from ..records import Status
from ..renewal import SvidHolder
from ..runtime import monotonic, now_seconds
from ..server import ServerCall, TrustServer, encode_body
from ..spiffe import SpiffeId
from .lease import Lease
from .live_visits import LiveVisits
from .visit import Visit, VisitAgent, VisitArrival, Visitor, authenticate_visit

_DECISION_SECONDS = 5.0
"""One round trip to the server and its durable write."""


@dataclass(frozen=True)
class _Answer:
    """The server's answer to "may it?"; the decision is taken from the signed record inside its receipt."""

    members: Members
    agent: VisitAgent
    chain_instances: tuple[str, ...]
    receipt: Receipt


class Reception:
    """What a service needs to receive visits. Safe for threads."""

    def __init__(
        self,
        *,
        spiffe_id: SpiffeId,
        server: TrustServer,
        holder: SvidHolder,
        lease: Lease,
        outcomes: OutcomeSpool,
    ) -> None:
        self.id = spiffe_id
        self.server = server
        self.holder = holder
        self.lease = lease
        self.outcomes = outcomes
        self.visits = LiveVisits()

    def admit(self, arrival: VisitArrival) -> Permit:
        """Walks the path up to the act; nothing has been done before `Permit.begin`.

        Raises: TrustWardenError what stopped it; with `receipt` when it is a recorded decision, see `Refused`.
        """
        release = self.outcomes.reserve()
        self.visits.enter()
        try:
            started_at = monotonic()
            visitor = self._authenticate(arrival)
            answer = self._ask(arrival, visitor)
            verified = self._prove(answer, visitor)
            return Permit(self, arrival, visitor, answer, verified, started_at, release)
        except BaseException:
            release()
            self.visits.leave()
            raise

    def _authenticate(self, arrival: VisitArrival) -> Visitor:
        self.lease.require_fresh()
        return authenticate_visit(arrival, receiver=self.id, bundles=self.server.bundles, now=now_seconds())

    def _ask(self, arrival: VisitArrival, visitor: Visitor) -> _Answer:
        """Asks once: an intent that was sent is never sent again."""
        body: dict[str, Json] = {
            "intent": visitor.intent.envelope,
            "svid_chain": [encode_base64url(certificate.der) for certificate in visitor.svid.chain],
        }
        if arrival.match.effects is not None:
            body["effects"] = arrival.match.effects
        if arrival.approval is not None:
            body["approval"] = _opened_approval(arrival, arrival.approval)
        call = ServerCall("POST", "/v1/decisions", encode_body(body), timeout=_DECISION_SECONDS)
        members = self.server.call(call, self.holder.current().server_pool)
        agent = members.object("agent")
        return _Answer(
            members=members,
            agent=VisitAgent(
                spiffe_id=agent.text("spiffe_id"),
                agent_id=agent.text("agent_id"),
                instance_id=agent.text("instance_id"),
                owner_id=agent.text("owner_id"),
                chain=agent.texts("chain"),
            ),
            chain_instances=agent.texts("chain_instances"),
            receipt=parse_receipt(members.json("receipt")),
        )

    def _prove(self, answer: _Answer, visitor: Visitor) -> VerifiedReceipt:
        """Proves the receipt, and that the unsigned members beside it say nothing else."""
        opened = open_receipt(answer.receipt)
        verified = self.server.prove_receipt(opened, visitor.intent.sha256, "service")
        record, members = verified.decision, answer.members
        is_same = (
            members.boolean("allow") == record.allow
            and members.integer("epoch") == record.lease_epoch
            and members.text("enforcement") == record.enforcement
            and members.text("class") == record.action_class
            and answer.agent.spiffe_id == visitor.svid.id
            and answer.agent.chain == record.chain
        )
        if not is_same:
            raise fail("receipt_invalid", {"reason": "answer differs from its record"})
        return verified


class Permit:
    """The first half of the path, walked, for one act: `begin` it, then `end` it once."""

    def __init__(
        self,
        reception: Reception,
        arrival: VisitArrival,
        visitor: Visitor,
        answer: _Answer,
        verified: VerifiedReceipt,
        started_at: float,
        release: Callable[[], None],
    ) -> None:
        self._reception = reception
        self._visitor = visitor
        self._answer = answer
        self._verified = verified
        self._started_at = started_at
        self._release = release
        self._lock = threading.Lock()
        self._is_over = False
        self.visit = Visit(
            agent=answer.agent,
            action=arrival.match.action,
            resource=arrival.match.resource,
            params=arrival.match.params,
            body=arrival.body,
            receipt=verified.receipt,
        )

    @property
    def receipt(self) -> Receipt:
        """Proof of the decision, allow or deny."""
        return self._verified.receipt

    def begin(self) -> Visit:
        """Requires an allow and that it still holds at this very moment, and watches the visit from now on.

        Raises: TrustWardenError `denied`, `approval_required`, `policy_unavailable`, `lease_expired`,
        `identity_revoked`, `decision_stale`, `svid_expired`; the caller then calls `refuse` and answers with the
        receipt.
        """
        decision = self._verified.decision
        if not decision.allow:
            raise fail(refusal_of(decision.reasons), {"reasons": decision.reasons})
        self._require_live()
        self._reception.visits.watch(self.visit.signal, self._require_live)
        return self.visit

    def refuse(self) -> None:
        """Nothing was done: reports so where the decision was an allow. May block."""
        self._finish(self._verified.decision.allow, "failure", 0)

    def end(self, status: Status, size: int) -> None:
        """How the answer ended, with its bytes; only the first call counts. May block."""
        self._finish(True, status, size)

    def _finish(self, is_reported: bool, status: Status, size: int) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        self._reception.visits.forget(self.visit.signal)
        try:
            if is_reported:
                self._reception.outcomes.report(self._sign(status, size))
        finally:
            self._release()
            self._reception.visits.leave()

    def _require_live(self) -> None:
        agent, lease = self._answer.agent, self._reception.lease
        chain = (link.removeprefix("owner:") for link in agent.chain)
        lease.require_fresh()
        lease.require_untouched(
            self._verified.decision.lease_epoch,
            [*chain, agent.owner_id, agent.agent_id, agent.instance_id, *self._answer.chain_instances],
        )
        if now_seconds() >= self._visitor.svid.leaf.not_after:
            raise fail("svid_expired")

    def _sign(self, status: Status, size: int) -> str:
        # An SVID that has just ended still signs what came of a visit under it; whether it counts, the server says.
        credential = self._reception.holder.latest
        seconds = monotonic() - self._started_at
        return issue_outcome(
            self.receipt, status, credential.key, credential.svid.leaf.sha256, size=size, seconds=seconds
        )


def _opened_approval(arrival: VisitArrival, name: str) -> dict[str, Json]:
    """What the visit really is, opened for the server: an approval counts for exactly this request."""
    parameters: dict[str, Json] = {
        "kind": "request",
        "method": arrival.method,
        "target": arrival.target.text,
        "body_sha256": encode_base64url(sha256(arrival.body)),
    }
    return {"id": name, "salt": arrival.salt or "", "parameters": parameters}


def is_broken_off(error: BaseException) -> bool:
    """Whether an act ended because it was cut or its caller went away: neither a success nor a failure of its own."""
    return isinstance(error, TrustWardenError) and error.code in ("call_aborted", "call_cut")
