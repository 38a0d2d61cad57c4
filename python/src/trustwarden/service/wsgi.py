"""WSGI: an application around the service's own one.

Reads the body itself, since the intent is bound to it, and gives it to the application again. An answer that may not go
on ends at its next part, and with its connection where the server shows the socket; work that gives no part in between
is not stopped, which WSGI has no way to do. How long a body may take is the server's to limit.

See: PEP 3333
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .. import scheduler
from ..errors import TrustWardenError, fail
from ..receipts import format_receipt_header
from ..records import Status
from ..route_table import ROUTES_PATH, RequestTarget, RouteTable, parse_request_target
from .answer import RefusalAnswer, create_refusal
from .reception import Permit, Reception
from .tls_server import parse_pem_chain, peer_chain_of
from .visit import APPROVAL_HEADER, INTENT_HEADER, RECEIPT_HEADER, SALT_HEADER, Refusal, Visit, VisitArrival

if TYPE_CHECKING:
    from .guard import OnRefusal

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
WsgiApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

VISIT = "trustwarden.visit"
"""Key of the `Visit` in an application's environ."""
MAX_BODY_BYTES = 1_048_576
_MAX_SHOWN_CHARS = 256
_PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


def guard_wsgi(reception: Reception, table: RouteTable, app: WsgiApp, on_refusal: OnRefusal) -> WsgiApp:
    """The guarded application."""

    def guarded(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return _WsgiVisit(reception, table, app, on_refusal, environ, start_response).run()

    return guarded


def visit_of(environ: Environ) -> Visit:
    """The visit that an application is called for."""
    return cast("Visit", environ[VISIT])


class _WsgiVisit:
    """One request from its arrival to the end of its answer."""

    def __init__(
        self,
        reception: Reception,
        table: RouteTable,
        app: WsgiApp,
        on_refusal: OnRefusal,
        environ: Environ,
        start_response: StartResponse,
    ) -> None:
        self._reception = reception
        self._table = table
        self._app = app
        self._on_refusal = on_refusal
        self._environ = environ
        self._start_response = start_response
        self._permit: Permit | None = None
        self._is_whole = False
        self._status = 0
        self._size = 0
        self._is_started = False

    def run(self) -> Iterable[bytes]:
        """What stops a visit becomes its answer."""
        target = target_of(self._environ)
        try:
            arrival = self._arrive(target)
            if arrival is None:
                return self._answer(_routes(self._table.document(self._reception.id)))
            self._permit = self._reception.admit(arrival)
            visit = self._permit.begin()
        except (TrustWardenError, OSError) as error:
            return self._refuse(error, target)
        self._cut_connection_of(visit)
        self._environ[VISIT] = visit
        self._environ["wsgi.input"] = io.BytesIO(visit.body)
        self._environ["CONTENT_LENGTH"] = str(len(visit.body))
        try:
            return _Parts(self._app(self._environ, self._start), visit, self._count, self._end_whole)
        except Exception as error:
            if self._is_started:
                self._end("failure")
                raise
            return self._refuse(error, target)

    def _arrive(self, text: str) -> VisitArrival | None:
        """What came, with its whole body; None when it was the question for the route table."""
        method = str(self._environ["REQUEST_METHOD"])
        target = parse_request_target(text)
        if method == "GET" and target.path == ROUTES_PATH:
            return None
        _require_one_reading(self._environ, target)
        match = self._table.match(method, target)
        peer_chain = _peer_chain_of(self._environ)
        return VisitArrival(
            method=method,
            target=target,
            match=match,
            body=self._read_body(),
            peer_chain=peer_chain,
            intent=self._header(INTENT_HEADER),
            salt=self._header(SALT_HEADER),
            approval=self._header(APPROVAL_HEADER),
        )

    def _read_body(self) -> bytes:
        given = str(self._environ.get("CONTENT_LENGTH") or "")
        is_open_ended = bool(self._environ.get("wsgi.input_terminated")) and not given
        if given and not (given.isascii() and given.isdigit()):
            raise fail("request_malformed", {"reason": "content-length"})
        length = MAX_BODY_BYTES + 1 if is_open_ended else int(given[:16] or "0")
        if length > MAX_BODY_BYTES and not is_open_ended:
            raise fail("request_too_large", {"maxBytes": MAX_BODY_BYTES})
        body = bytes(self._environ["wsgi.input"].read(length)) if length else b""
        if len(body) > MAX_BODY_BYTES:
            raise fail("request_too_large", {"maxBytes": MAX_BODY_BYTES})
        if not is_open_ended and len(body) != length:
            raise fail("call_aborted")
        self._is_whole = True
        return body

    def _header(self, name: str) -> str | None:
        # Of two lines a server makes one with a comma, which is in no base64url and in no id.
        value = self._environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return None if value is None else str(value)

    def _start(self, status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
        permit = self._permit
        own = [pair for pair in headers if pair[0].lower() != RECEIPT_HEADER]
        if permit is not None:
            own.append((RECEIPT_HEADER, format_receipt_header(permit.receipt)))
        write = self._start_response(status, own, *more)
        self._status = int(status[:3])
        self._is_started = True
        return lambda part: self._write(write, part)

    def _write(self, write: Callable[[bytes], object], part: bytes) -> None:
        if self._permit is not None:
            self._permit.visit.signal.raise_if_cut()
        self._size += len(part)
        write(part)

    def _count(self, part: bytes) -> None:
        self._size += len(part)

    def _end_whole(self, status: Status | None) -> None:
        """How the parts ended; None when all of them were given."""
        self._end(status or ("success" if self._status < 400 else "failure"))

    def _end(self, status: Status) -> None:
        permit, size = self._permit, self._size
        # The answer has left, so nobody waits for this.
        if permit is not None:
            scheduler.soon(lambda: permit.end(status, size))

    def _cut_connection_of(self, visit: Visit) -> None:
        """Where the server shows its socket, a visit that is cut ends at once and not at its next part."""
        connection = self._environ.get("gunicorn.socket")
        if isinstance(connection, socket.socket):
            visit.signal.on_cut(lambda: _shut(connection))

    def _refuse(self, error: BaseException, target: str) -> Iterable[bytes]:
        permit = self._permit
        if permit is not None:
            scheduler.soon(permit.refuse)
        method, path = str(self._environ["REQUEST_METHOD"]), target.partition("?")[0]
        self._on_refusal(Refusal(error, method[:16], path[:_MAX_SHOWN_CHARS]))
        receipt = None if permit is None else permit.receipt
        return self._answer(create_refusal(error, receipt, is_whole=self._is_whole))

    def _answer(self, answer: RefusalAnswer) -> Iterable[bytes]:
        phrase = _PHRASES.get(answer.status, "Refused")
        # Whether a connection goes on is the server's to say, and PEP 3333 forbids the header.
        headers = [(name, value) for name, value in answer.headers.items() if name != "connection"]
        self._start_response(f"{answer.status} {phrase}", headers)
        return [answer.body]


class _Parts:
    """The answer, as long as it may go on; its end is reported once, also when nobody ever asks for a part."""

    def __init__(
        self,
        parts: Iterable[bytes],
        visit: Visit,
        count: Callable[[bytes], None],
        end: Callable[[Status | None], None],
    ) -> None:
        self._source = parts
        self._parts = iter(parts)
        self._visit = visit
        self._count = count
        self._end = end
        self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            self._visit.signal.raise_if_cut()
            part = next(self._parts)
            self._visit.signal.raise_if_cut()
        except StopIteration:
            self._finish(None)
            raise
        except BaseException:
            self._finish("aborted" if self._visit.signal.is_cut else "failure")
            raise
        self._count(part)
        return part

    def close(self) -> None:
        """Called by the server in any case; before the end of the parts, it means that the visitor has left."""
        self._finish("aborted")
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _finish(self, status: Status | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._end(status)


def target_of(environ: Environ) -> str:
    """The target of the request line as it was sent, where the server tells, and else as it was read."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(raw, str) and raw.startswith("/"):
        return raw
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    query = str(environ.get("QUERY_STRING") or "")
    return f"{path}?{query}" if query else path


def _require_one_reading(environ: Environ, target: RequestTarget) -> None:
    """The application is routed by these and not by the target: servers let whoever is near them move the border.

    Gunicorn takes a `SCRIPT_NAME` header from its own machine; rewriting servers change the path and not `REQUEST_URI`.
    """
    read = (environ.get("SCRIPT_NAME") or "", environ.get("PATH_INFO"), environ.get("QUERY_STRING") or "")
    if read != ("", target.path, target.text.partition("?")[2]):
        raise fail("request_malformed", {"reason": "target: another path is read"})


def _peer_chain_of(environ: Environ) -> tuple[bytes, ...]:
    """From the server's socket, or from the variables that a server itself sets; never from a header."""
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        return peer_chain_of(connection)
    names = ("SSL_CLIENT_CERT", *(f"SSL_CLIENT_CERT_CHAIN_{number}" for number in range(3)))
    return parse_pem_chain(str(environ[name]) for name in names if environ.get(name))


def _routes(document: str) -> RefusalAnswer:
    body = document.encode()
    headers = {"cache-control": "no-store", "content-type": "application/json", "content-length": str(len(body))}
    return RefusalAnswer(200, headers, body)


def _shut(connection: socket.socket) -> None:
    # A connection that is closed already needs no end.
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
