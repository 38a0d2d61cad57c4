"""Uvicorn, unmodified: `uvicorn.Config(guard.asgi(app), http=VisitProtocol, ssl_context_factory=context_of(guard))`.

Uvicorn tells an application nothing of the client's certificate. Its HTTP protocol is a class that one may bring, so
this one adds a function to each scope that reads the chain from the connection that the request came on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from .asgi_scope import BREAK_OFF, PEER, Receive, Scope, Send
from .tls_server import peer_chain_of

if TYPE_CHECKING:
    from .guard import GuardAgents


class VisitProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 protocol, which lets the application read what the TLS peer presented."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Puts the connection's chain into the scope of each of its requests."""
        super().connection_made(transport)
        app = self.app
        connection = transport.get_extra_info("ssl_object")

        async def with_peer(scope: Scope, receive: Receive, send: Send) -> None:
            known = cast("dict[str, Any]", scope.get("extensions") or {})
            extensions = {**known, PEER: lambda: peer_chain_of(connection), BREAK_OFF: transport.abort}
            await app({**scope, "extensions": extensions}, receive, send)  # pyright: ignore[reportArgumentType]

        self.app = with_peer  # pyright: ignore[reportAttributeAccessIssue]

    def handle_websocket_upgrade(self, event: Any) -> None:
        """A WebSocket's protocol takes its application from the configuration: it gets the one that knows the peer."""
        self.config = copy(self.config)
        self.config.loaded_app = self.app
        super().handle_websocket_upgrade(event)


def context_of(guard: GuardAgents) -> Callable[[Any, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    """For uvicorn's `ssl_context_factory`."""
    return lambda config, default: guard.ssl_context
