"""A visit: an agent's request to a service, and the proof of who makes it and that it means this very request.

Pure checks of one arrival; asking the server, the lease and the act are in `reception`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .._bytes import parse_base64url, parse_utf8
from ..bundle import TrustBundle
from ..errors import TrustWardenError, fail
from ..intent import BoundRequest
from ..receipts import Receipt, SigningLeaf
from ..route_table import RequestTarget, RouteMatch
from ..runtime import notify
from ..spiffe import SpiffeId, TrustDomain, instance_id_of, path_of, trust_domain_of
from ..x509 import X509Svid, verify_x509_svid
from .intents import VerifiedIntent, require_same_request, verify_intent

SALT_BYTES = 32
INTENT_HEADER = "trustwarden-intent"
"""Header of the intent's envelope, base64url."""
SALT_HEADER = "trustwarden-salt"
"""Header of the salt that opens the intent's request commitment, base64url."""
RECEIPT_HEADER = "trustwarden-receipt"
"""Header of the receipt, base64url."""
APPROVAL_HEADER = "trustwarden-approval"
"""Header that names the approval which a call uses up."""


@dataclass(frozen=True)
class VisitArrival:
    """One request as it arrived, matched to a row of the route table."""

    method: str
    target: RequestTarget
    match: RouteMatch
    body: bytes
    peer_chain: tuple[bytes, ...]
    """DER, leaf first, as the socket's peer presented it."""
    intent: str | None
    salt: str | None
    approval: str | None


@dataclass(frozen=True)
class Visitor:
    """An agent that proved possession of the socket's SVID by an intent for this request."""

    svid: X509Svid
    intent: VerifiedIntent


@dataclass(frozen=True)
class VisitAgent:
    """Who visits, as the server knows it."""

    spiffe_id: str
    agent_id: str
    instance_id: str
    owner_id: str
    chain: tuple[str, ...]
    """`owner:<id>`, then agent ids from the root down."""


class Cut:
    """Says once that an answer must not go on: somebody was revoked, the SVID ended, or the lease was lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_cut(self) -> bool:
        """Whether work on this visit should stop."""
        return self._error is not None

    def raise_if_cut(self) -> None:
        """Raises what cut the visit, if anything did."""
        if self._error is not None:
            raise self._error

    def on_cut(self, listener: Callable[[], None]) -> None:
        """Hears of it, at once when it has happened; on another thread, and must not wait."""
        with self._lock:
            if self._error is None:
                self._listeners.append(listener)
                return
        _tell(listener)

    def cut(self, error: Exception) -> None:
        """Ends the visit for good; only the first reason counts."""
        with self._lock:
            if self._error is not None:
                return
            self._error = error
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            _tell(listener)


def _tell(listener: Callable[[], None]) -> None:
    """The thread that tells watches every other visit too, and goes on whatever a listener does."""
    try:
        listener()
    except (Exception, SystemExit) as error:
        notify("internal", "A listener of a visit that was cut failed.", {"error": type(error).__name__})


@dataclass(frozen=True)
class Visit:
    """What the service's own code gets to see of an allowed visit."""

    agent: VisitAgent
    action: str
    resource: str
    params: Mapping[str, str]
    """The parameters of the route's path."""
    body: bytes
    """Exactly the bytes that the agent signed for."""
    receipt: Receipt
    signal: Cut = field(default_factory=Cut, compare=False)
    """Cut when the answer must not go on. The answer is cut off by itself; work behind it should stop."""


def authenticate_visit(
    arrival: VisitArrival, *, receiver: SpiffeId, bundles: Mapping[TrustDomain, TrustBundle], now: float
) -> Visitor:
    """Proves who visits and that the intent is for this request. `now` is Unix seconds.

    Raises: TrustWardenError `no_svid`, the codes of `verify_x509_svid`, `svid_bearer_refused` for an SVID that is no
    agent instance's, `no_intent`, the codes of `verify_intent`, and `intent_mismatch` for another act or request.
    """
    svid = verify_x509_svid(arrival.peer_chain, bundles, now)
    _require_agent_instance(svid.id, receiver)
    envelope, salt = _parse_headers(arrival)
    leaf = SigningLeaf(svid.leaf.sha256, svid.leaf.public_key)
    verified = verify_intent(envelope, leaf=leaf, audience=receiver, now=now)
    intent = verified.intent
    if intent.agent.spiffe_id != svid.id:
        raise fail("svid_mismatch", {"reason": "SPIFFE ID"})
    # The table of the service decides what a request is; a read's intent cannot buy a delete.
    if intent.action != arrival.match.action:
        raise fail("intent_mismatch", {"reason": "action"})
    if intent.resource != arrival.match.resource:
        raise fail("intent_mismatch", {"reason": "resource"})
    require_same_request(intent, BoundRequest(arrival.method, arrival.target.text, arrival.body), salt)
    return Visitor(svid, verified)


def only_header(values: Sequence[str]) -> str | None:
    """One header line or none; two are refused, since two readers could take different ones.

    Raises: TrustWardenError `no_intent`.
    """
    if len(values) > 1:
        raise fail("no_intent", {"reason": "two headers"})
    return values[0] if values else None


def _require_agent_instance(visitor: SpiffeId, receiver: SpiffeId) -> None:
    """One of ours names its instance; which agent a workload of a federated trust domain is, the server knows."""
    is_foreign = trust_domain_of(visitor) != trust_domain_of(receiver)
    is_instance = is_foreign or instance_id_of(visitor) is not None
    if not is_instance or path_of(visitor).startswith("/trustwarden/"):
        raise fail("svid_bearer_refused", {"id": visitor})


def _parse_headers(arrival: VisitArrival) -> tuple[str, bytes]:
    if arrival.intent is None or arrival.salt is None:
        raise fail("no_intent")
    salt = parse_base64url(arrival.salt)
    if len(salt) != SALT_BYTES:
        raise fail("no_intent", {"reason": "salt"})
    return parse_utf8(parse_base64url(arrival.intent)), salt


@dataclass(frozen=True)
class Refusal:
    """What stopped a visit, exactly; the visitor is told less."""

    error: BaseException
    method: str
    path: str
    """As sent, shortened."""


def as_refusal(error: BaseException) -> TrustWardenError:
    """What the visitor is told of a failure; anything that is not ours is `internal`."""
    return error if isinstance(error, TrustWardenError) else fail("internal")
