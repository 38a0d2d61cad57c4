"""What an ASGI scope tells of a request: its target, its headers, and whose certificates it came with.

See: ASGI 3.0, HTTP & WebSocket message format; the TLS extension 0.2, which no server of today implements
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .. import scheduler
from ..errors import fail
from ..receipts import Receipt
from ..route_table import RequestTarget, RouteTable, parse_request_target
from .reception import Permit, Reception
from .tls_server import parse_pem_chain
from .visit import (
    APPROVAL_HEADER,
    INTENT_HEADER,
    RECEIPT_HEADER,
    SALT_HEADER,
    Refusal,
    Visit,
    VisitArrival,
    only_header,
)

if TYPE_CHECKING:
    from .guard import OnRefusal

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

VISIT = "trustwarden.visit"
"""Key of the `Visit` in an application's scope."""
PEER = "trustwarden.peer"
"""Key in a scope's extensions under which our server adapters put a function that gives the visitor's chain."""
BREAK_OFF = "trustwarden.break_off"
"""Key beside it, of a function that ends the connection without a word more."""
_MAX_SHOWN_CHARS = 256
_MAX_SHOWN_METHOD_CHARS = 16


@dataclass(frozen=True)
class AsgiCall:
    """One call of a guarded application: whose it is, and what ASGI gave."""

    reception: Reception
    table: RouteTable
    app: AsgiApp
    on_refusal: OnRefusal
    scope: Scope
    receive: Receive
    send: Send

    def refuse(self, permit: Permit | None, error: BaseException, method: str, target: str) -> Receipt | None:
        """Says so in the service's own log, which knows before the visitor does, and to the server."""
        if permit is not None:
            scheduler.soon(permit.refuse)
        self.tell_refusal(error, method, target)
        return None if permit is None else permit.receipt

    def tell_refusal(self, error: BaseException, method: str, target: str) -> None:
        """To the service's own log."""
        path = target.partition("?")[0][:_MAX_SHOWN_CHARS]
        self.on_refusal(Refusal(error, method[:_MAX_SHOWN_METHOD_CHARS], path))


def visit_of(scope: Scope) -> Visit:
    """The visit that an application is called for."""
    return cast("Visit", scope[VISIT])


def target_of(scope: Scope) -> str:
    """The target of the request line as it was sent, for all that a server tells of it."""
    raw = cast("bytes | None", scope.get("raw_path"))
    path = raw.decode("latin-1") if raw is not None else cast("str", scope["path"])
    query = cast("bytes", scope.get("query_string", b"")).decode("latin-1")
    return f"{path}?{query}" if query else path


def arrival_of(scope: Scope, method: str, table: RouteTable, text: str, body: bytes) -> VisitArrival:
    """A request as it came. Raises `request_malformed`, `route_unknown`, `no_svid`, `svid_malformed`."""
    target = parse_request_target(text)
    require_same_path(scope, target)
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    return VisitArrival(
        method=method,
        target=target,
        match=table.match(method, target),
        body=body,
        peer_chain=peer_chain_of(scope),
        intent=header_of(headers, INTENT_HEADER),
        salt=header_of(headers, SALT_HEADER),
        approval=header_of(headers, APPROVAL_HEADER),
    )


def require_same_path(scope: Scope, target: RequestTarget) -> None:
    """The application is routed by its scope's path; a layer before us may have changed it."""
    if scope["path"] != target.path:
        raise fail("request_malformed", {"reason": "target: another path is read"})


def peer_chain_of(scope: Scope) -> tuple[bytes, ...]:
    """What the visitor presented. Raises `no_svid`, `svid_malformed`."""
    extensions = cast("dict[str, Any]", scope.get("extensions") or {})
    if PEER in extensions:
        return cast("Callable[[], tuple[bytes, ...]]", extensions[PEER])()
    tls = cast("dict[str, Any]", extensions.get("tls") or {})
    return parse_pem_chain(cast("Iterable[str]", tls.get("client_cert_chain") or ()))


def break_off(scope: Scope) -> None:
    """Ends the connection where the server showed how."""
    end = cast("dict[str, Any]", scope.get("extensions") or {}).get(BREAK_OFF)
    if end is not None:
        end()


def header_of(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """The one value of a header."""
    wanted = name.encode()
    return only_header([value.decode("latin-1") for key, value in headers if key.lower() == wanted])


def own_headers(message: Message) -> list[tuple[bytes, bytes]]:
    """What an application says in its head, without a receipt, which is not its to give."""
    pairs = [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
    return [pair for pair in pairs if pair[0].lower() != RECEIPT_HEADER.encode()]


def give_up(permit: Permit) -> None:
    """Whoever asked has left while it was decided; nothing was done."""
    permit.refuse()


def tell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Sets an event of a loop from another thread."""
    # A loop that has ended has no answer left to cut.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)
