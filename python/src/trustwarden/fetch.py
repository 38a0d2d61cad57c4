"""`fetch` for agents: one request, one signed intent, over a connection to a proven service.

No redirects (an intent is for one target) and no retries (an intent acts once); who wants another try calls again and
gets a new intent. An answer that claims success without a receipt that holds is not passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from ._json import JsonObject
from .approvals import approval_header
from .contact import parse_origin
from .errors import TrustWardenError, fail
from .gateway import MAX_GATEWAY_BODY_BYTES, Upstream, forwarded, named_for, upstream_name_of
from .intent import BoundRequest
from .plain_response import BodyOf, Bounds, PlainResponse, asks_for_coding
from .receipts import open_receipt, parse_receipt_header
from .records import Enforcement
from .route_table import parse_request_target
from .routes import PeerRoutes, PeerRoutesCache
from .session import RECEIPT_HEADER, AgentSession, Asked, SignedAction
from .transport import Answer, HttpsCall, Origin, Pool

_MAX_BODY_BYTES = 1_048_576
"""As services limit it."""
# Set by the connection or by us; what a caller says of them is dropped.
_OWN_HEADERS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


@dataclass(frozen=True)
class Meaning:
    """What a request means, beside what it is; all of it optional."""

    action: str | None = None
    """Such as `read:transactions`; from the service's route table when absent."""
    resource: str | None = None
    """Such as `postgres://finance-db/transactions`; from the service's route table when absent."""
    params: JsonObject | None = None
    """What the agent wants to be able to show later; only a salted commitment leaves the process."""
    verifier: str | None = None
    """The verifier's name as the operator approved it; a service of another name learns nothing."""
    approval: str | None = None
    """What `wait_for_approval` gave for exactly this request; worth one call."""
    job: str | None = None
    """What several instances work on together."""


@dataclass(frozen=True)
class Outgoing:
    """One request, ready to be signed."""

    origin: Origin
    request: BoundRequest
    headers: Mapping[str, str]
    meaning: Meaning
    timeout: float
    has_body: bool


def agent_fetch(
    session: AgentSession,
    routes: PeerRoutesCache,
    request: httpx.Request,
    meaning: Meaning,
    bounds: Bounds | None = None,
) -> httpx.Response:
    """Visits a service; the answer's body is still to be read, within `bounds` where it has any.

    Raises `approval_required`, `peer_untrusted`, `server_unreachable`, `route_unknown`, `receipt_invalid`,
    `request_too_large`, `identity_expired`, `identity_closed`. A deny is an answer with status 403.
    """
    # Whoever may not act asks nobody what a request would mean either.
    session.holder.current()
    outgoing = outgoing_of(request, meaning)
    if outgoing.origin == session.gateway.origin():
        return response_of(request, _visit_gateway(session, outgoing), bounds)
    if len(outgoing.request.body) > _MAX_BODY_BYTES:
        raise fail("request_too_large", {"max_bytes": _MAX_BODY_BYTES})
    if outgoing.origin == session.server.origin:
        return response_of(request, _visit_server(session, outgoing), bounds)
    peer = routes.get(outgoing.origin)
    try:
        answer = _visit(session, outgoing, peer)
    except TrustWardenError as error:
        if error.code != "peer_untrusted" or error.details.get("reason") == _OTHER_NAME:
            raise
        # The service has another identity than before; the handshake ended there, so no intent has left this process.
        routes.forget(outgoing.origin)
        answer = _visit(session, outgoing, routes.get(outgoing.origin))
    return response_of(request, answer, bounds)


def outgoing_of(request: httpx.Request, meaning: Meaning) -> Outgoing:
    """The request as it will be sent. Raises `peer_untrusted` unless it is https, `request_too_large`."""
    url = request.url
    if url.scheme != "https" or url.userinfo:
        raise fail("peer_untrusted", {"reason": "not https"})
    origin = parse_origin(f"https://{url.netloc.decode('ascii')}")
    body = request.read()
    if len(body) > MAX_GATEWAY_BODY_BYTES:
        raise fail("request_too_large", {"max_bytes": MAX_GATEWAY_BODY_BYTES})
    headers = {name.lower(): value for name, value in request.headers.items() if not _is_own(name.lower())}
    bound = BoundRequest(request.method, url.raw_path.decode("ascii"), body)
    timeout = request.extensions.get("timeout", {}).get("read") or _DEFAULT_SECONDS
    has_body = len(body) > 0 or "content-length" in request.headers
    return Outgoing(origin, bound, headers, meaning, timeout, has_body)


def require_receipt(session: AgentSession, answer: Answer, signed: SignedAction, enforcement: Enforcement) -> None:
    """A success must come with a receipt that allows it; a deny comes with one that says so.

    Raises `approval_required`, or `receipt_invalid`; the answer is then thrown away.
    """
    header = answer.header(RECEIPT_HEADER)
    is_success = answer.status < 400
    if header is None and not is_success and not answer.has_header(RECEIPT_HEADER):
        return
    try:
        if header is None:
            raise fail("receipt_invalid", {"reason": "no receipt"})
        verified = session.keep_receipt(open_receipt(parse_receipt_header(header)), signed, enforcement)
        session.questions.require_answered(signed, verified)
        if is_success and not verified.decision.allow:
            raise fail("receipt_invalid", {"reason": "denied"})
    except BaseException:
        answer.close()
        raise


def send(outgoing: Outgoing, signed: SignedAction, pool: Pool) -> Answer:
    """Sends a signed request over connections of the credential that signed it."""
    request = outgoing.request
    headers = {**outgoing.headers, **signed.headers, **approval_header(outgoing.meaning.approval)}
    body = request.body if outgoing.has_body else None
    return pool.send(HttpsCall(outgoing.origin, request.method, request.target, headers, body, outgoing.timeout))


def response_of(request: httpx.Request, answer: Answer, bounds: Bounds | None) -> httpx.Response:
    """An answer as `httpx` has it; its body is still to be read."""
    make = httpx.Response if asks_for_coding(request.headers) else PlainResponse
    return make(
        answer.status,
        headers=answer.headers,
        stream=BodyOf(answer, bounds),
        request=request,
        extensions={"http_version": b"HTTP/1.1", "reason_phrase": answer.reason},
    )


def _visit(session: AgentSession, outgoing: Outgoing, peer: PeerRoutes) -> Answer:
    meaning = outgoing.meaning
    # A misled name service or a moved address must not hand one service's requests to another.
    if meaning.verifier is not None and peer.name != meaning.verifier:
        raise fail("peer_untrusted", {"reason": _OTHER_NAME, "peer": peer.verifier})
    action, resource = meaning.action, meaning.resource
    if action is None or resource is None:
        found = peer.meaning_of(outgoing.request.method, outgoing.request.target)
        action, resource = action or found.action, resource or found.resource
    asked = Asked(action, resource, peer.verifier, meaning.params, meaning.job, outgoing.request)
    signed = session.sign(asked)
    answer = send(outgoing, signed, signed.credential.pool_for(peer.verifier))
    require_receipt(session, answer, signed, "service")
    return answer


def _visit_gateway(session: AgentSession, outgoing: Outgoing) -> Answer:
    """The gateway plans every call itself, so nobody is asked what it means; who names it otherwise is not believed."""
    upstream = session.gateway.find(upstream_name_of(outgoing.request.target))
    sent = forwarded(outgoing)
    server_id = session.server.discovery.server_id
    first = _send_through(session, sent, upstream)
    if first.status != _NOT_AUTHENTICATED:
        return first
    # Nothing was done: the operator has changed what a call means since it was read, or the server began anew.
    changed = session.gateway.find_changed(upstream)
    if changed is None and session.server.discovery.server_id == server_id:
        return first
    first.close()
    return _send_through(session, sent, changed or upstream)


def _send_through(session: AgentSession, outgoing: Outgoing, upstream: Upstream) -> Answer:
    action, resource = named_for(upstream, outgoing)
    audience = session.server.discovery.server_id
    signed = session.sign(Asked(action, resource, audience, None, outgoing.meaning.job, outgoing.request))
    answer = send(outgoing, signed, signed.credential.server_pool)
    require_receipt(session, answer, signed, "gateway")
    return answer


def _visit_server(session: AgentSession, outgoing: Outgoing) -> Answer:
    """The server's own API: its guard decides on the same path, and its answer needs no receipt beside its events."""
    request, meaning = outgoing.request, outgoing.meaning
    path = parse_request_target(request.target).path
    action = meaning.action or _server_action_of(request.method, path)
    resource = meaning.resource or f"trustwarden://{session.server.trust_domain}{path}"
    audience = session.server.discovery.server_id
    signed = session.sign(Asked(action, resource, audience, meaning.params, meaning.job, request))
    return send(outgoing, signed, signed.credential.server_pool)


def _server_action_of(method: str, path: str) -> str:
    """What an agent may read of the ledger needs no explanation; anything else is named by who asks."""
    if method == "GET" and (path.startswith("/v1/events") or path == "/v1/ledger/consistency"):
        return "read:ledger"
    raise fail("route_unknown", {"method": method, "path": path})


def _is_own(name: str) -> bool:
    return name in _OWN_HEADERS or name.startswith("trustwarden-")


_OTHER_NAME = "another verifier"
_DEFAULT_SECONDS = 30.0
_NOT_AUTHENTICATED = 401
