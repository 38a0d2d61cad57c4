"""A WebSocket to a guarded service, as an agent opens one: a signed intent, on a connection with its SVID."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from trustwarden.intent import BoundRequest
from trustwarden.tls import anonymous_context, client_context
from visitors import Forger


class Conversation:
    """One upgrade and what came of it."""

    def __init__(self, forger: Forger, url: str, target: str, headers: Mapping[str, str], *, is_known: bool = True):
        context = (
            client_context(forger.credential.key, forger.credential.svid_chain) if is_known else anonymous_context()
        )
        there = urlsplit(url)
        plain = socket.create_connection((there.hostname or "", there.port or 443), 20)
        self._wire: ssl.SSLSocket = context.wrap_socket(plain)
        self._link = WSConnection(ConnectionType.CLIENT)
        self._pending: list[Event] = []
        shown = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._say(Request(host=there.netloc, target=target, extra_headers=shown))
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        try:
            self._hear_answer()
        except BaseException:
            self._wire.close()
            raise

    def say(self, text: str) -> None:
        self._say(TextMessage(text))

    def hear(self) -> str:
        """The next text; the code of the end in brackets, or `gone` where the connection just ended."""
        event = self._next()
        if isinstance(event, CloseConnection):
            return f"[{event.code}]"
        return str(event.data) if isinstance(event, TextMessage) else "gone"

    def leave(self) -> None:
        self._say(CloseConnection(1000))

    def close(self) -> None:
        self._wire.close()

    def _hear_answer(self) -> None:
        event = self._next()
        if isinstance(event, AcceptConnection):
            self.status = 101
            self._keep(event.extra_headers)
        elif isinstance(event, RejectConnection):
            self.status = event.status_code
            self._keep(event.headers)
            while isinstance(part := self._next(), RejectData):
                self.body += part.data
                if part.body_finished:
                    break

    def _keep(self, headers: Sequence[tuple[bytes, bytes]] | None) -> None:
        if headers is not None:
            self.headers = {bytes(name).decode().lower(): bytes(value).decode() for name, value in headers}

    def _say(self, event: Event) -> None:
        self._wire.sendall(self._link.send(event))

    def _next(self) -> Event | None:
        """None when the connection has ended."""
        while not self._pending:
            try:
                data = self._wire.recv(65_536)
            except OSError:
                return None
            self._link.receive_data(data or None)
            self._pending.extend(self._link.events())
            if not data and not self._pending:
                return None
        return self._pending.pop(0)


def upgrade(forger: Forger, audience: str, target: str, action: str, resource: str) -> dict[str, str]:
    """Headers of a good upgrade, or of one that says something else."""
    request = BoundRequest("GET", target, b"")
    return forger.sign(request, action=action, resource=resource, audience=audience)
