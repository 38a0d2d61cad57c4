"""ASGI: an application around the service's own one.

Reads the body itself, since the intent is bound to it, and gives it to the application again. The visit is over when
the answer is; one that breaks off is reported as aborted, and one that may not go on is cut. WebSockets are in
`asgi_websocket.py`.

See: ASGI 3.0, HTTP & WebSocket message format
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, cast

from .. import scheduler
from .._threads import in_thread
from ..errors import TrustWardenError, fail
from ..receipts import format_receipt_header
from ..records import Status
from ..route_table import ROUTES_PATH, RouteTable, parse_request_target
from .answer import RefusalAnswer, create_refusal
from .asgi_scope import (
    PEER,
    VISIT,
    AsgiApp,
    AsgiCall,
    Message,
    Receive,
    Scope,
    Send,
    arrival_of,
    give_up,
    own_headers,
    peer_chain_of,
    require_same_path,
    target_of,
    tell,
    visit_of,
)
from .asgi_websocket import WebSocketVisit
from .reception import Permit, Reception
from .visit import RECEIPT_HEADER, Visit, VisitArrival

if TYPE_CHECKING:
    from .guard import OnRefusal

__all__ = ["PEER", "VISIT", "AsgiApp", "Message", "Receive", "Scope", "Send", "guard_asgi", "visit_of"]

MAX_BODY_BYTES = 1_048_576
_BODY_SECONDS = 10.0
_STOP_SECONDS = 1.0


def guard_asgi(reception: Reception, table: RouteTable, app: AsgiApp, on_refusal: OnRefusal) -> AsgiApp:
    """The guarded application."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await _HttpVisit(AsgiCall(reception, table, app, on_refusal, scope, receive, send)).run()
        else:
            await WebSocketVisit(AsgiCall(reception, table, app, on_refusal, scope, receive, send)).run()

    return guarded


class _HttpVisit:
    """One request from its arrival to the end of its answer."""

    def __init__(self, call: AsgiCall) -> None:
        self._call = call
        self._permit: Permit | None = None
        self._is_whole = False
        self._status = 0
        self._size = 0
        self._is_started = False
        self._is_complete = False
        self._gone = asyncio.Event()

    async def run(self) -> None:
        """Never raises before an answer has begun: what stops a visit becomes its answer."""
        target = target_of(self._call.scope)
        try:
            arrival = await self._arrive(target)
            if arrival is None:
                return
            self._permit = await in_thread(lambda: self._call.reception.admit(arrival), give_up)
            visit = self._permit.begin()
        except (TrustWardenError, OSError) as error:
            await self._refuse(error, target)
            return
        await self._act(visit, target)

    async def _arrive(self, text: str) -> VisitArrival | None:
        """What came, with its whole body; None when it was the question for the route table, which is answered."""
        method = cast("str", self._call.scope["method"])
        target = parse_request_target(text)
        if method == "GET" and target.path == ROUTES_PATH:
            await self._answer(_routes(self._call.table.document(self._call.reception.id)))
            return None
        # What may not be visited is refused before its body is read.
        require_same_path(self._call.scope, target)
        self._call.table.match(method, target)
        peer_chain_of(self._call.scope)
        return arrival_of(self._call.scope, method, self._call.table, text, await self._read_body())

    async def _read_body(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with _deadline(_BODY_SECONDS):
                while True:
                    message = await self._call.receive()
                    if message["type"] == "http.disconnect":
                        raise fail("call_aborted")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > MAX_BODY_BYTES:
                        raise fail("request_too_large", {"maxBytes": MAX_BODY_BYTES})
                    if not message.get("more_body", False):
                        break
        except (asyncio.TimeoutError, TimeoutError) as cause:
            raise fail("request_malformed", {"reason": "body too slow"}) from cause
        self._is_whole = True
        return b"".join(parts)

    async def _act(self, visit: Visit, target: str) -> None:
        """Calls the application, and ends it when the visit may not go on or the visitor has left."""
        loop = asyncio.get_running_loop()
        cut = asyncio.Event()
        visit.signal.on_cut(lambda: tell(loop, cut))
        scope = {**self._call.scope, VISIT: visit}
        listening = asyncio.ensure_future(self._listen())
        acting = asyncio.ensure_future(self._call.app(scope, self._receive_again(visit.body), self._send_checked))
        cutting = asyncio.ensure_future(cut.wait())
        try:
            await asyncio.wait((acting, cutting), return_when=asyncio.FIRST_COMPLETED)
            if not acting.done():
                acting.cancel()
                # An application that does not stop keeps nothing open: whatever it sends from now on is refused.
                await asyncio.wait((acting,), timeout=_STOP_SECONDS)
            await self._settle(acting, visit, target)
        except asyncio.CancelledError:
            acting.cancel()
            self._end("aborted")
            raise
        finally:
            listening.cancel()
            cutting.cancel()

    async def _settle(self, acting: asyncio.Future[None], visit: Visit, target: str) -> None:
        is_ended = acting.done() and not acting.cancelled()
        error = acting.exception() if is_ended else asyncio.CancelledError()
        if visit.signal.is_cut and not self._is_complete:
            try:
                visit.signal.raise_if_cut()
            except Exception as cause:
                error = cause
            await self._break_off(error, target, "aborted")
        elif error is not None and not self._is_complete:
            await self._break_off(error, target, "aborted" if self._gone.is_set() else "failure")
        elif not self._is_complete:
            await self._break_off(fail("internal", {"reason": "no answer"}), target, "failure")
        else:
            is_success = self._status < 400 and not self._gone.is_set()
            self._end("success" if is_success else "aborted" if self._gone.is_set() else "failure")

    async def _break_off(self, error: BaseException | None, target: str, status: Status) -> None:
        """Only an answer that has not begun can be replaced; of one that has, the visitor must miss the end."""
        self._end(status)
        known = error or fail("internal")
        if not self._is_started:
            await self._refuse(known, target)
            return
        self._call.tell_refusal(known, str(self._call.scope["method"]), target)
        raise RuntimeError("the answer was cut off") from known

    def _end(self, status: Status) -> None:
        permit, size = self._permit, self._size
        # The answer has left, so nobody waits for this.
        if permit is not None:
            scheduler.soon(lambda: permit.end(status, size))

    async def _listen(self) -> None:
        """Waits for the visitor to leave; the server's `receive` is asked here and nowhere else."""
        while (await self._call.receive())["type"] != "http.disconnect":
            pass
        if not self._is_complete:
            self._gone.set()

    def _receive_again(self, body: bytes) -> Receive:
        is_given = False

        async def receive() -> Message:
            nonlocal is_given
            if not is_given:
                is_given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        return receive

    async def _send_checked(self, message: Message) -> None:
        visit = self._permit.visit if self._permit is not None else None
        if visit is not None:
            visit.signal.raise_if_cut()
        if message["type"] == "http.response.start" and self._permit is not None:
            receipt = (RECEIPT_HEADER.encode(), format_receipt_header(self._permit.receipt).encode())
            message = {**message, "headers": [*own_headers(message), receipt]}
            self._status = int(message["status"])
        await self._call.send(message)
        self._is_started = True
        if message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)

    async def _refuse(self, error: BaseException, target: str) -> None:
        receipt = self._call.refuse(self._permit, error, str(self._call.scope["method"]), target)
        # Whoever has left hears nothing of it.
        with contextlib.suppress(OSError):
            await self._answer(create_refusal(error, receipt, is_whole=self._is_whole))

    async def _answer(self, answer: RefusalAnswer) -> None:
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await self._call.send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._call.send({"type": "http.response.body", "body": answer.body})


def _routes(document: str) -> RefusalAnswer:
    body = document.encode()
    headers = {"cache-control": "no-store", "content-type": "application/json", "content-length": str(len(body))}
    return RefusalAnswer(200, headers, body)


@contextlib.asynccontextmanager
async def _deadline(seconds: float) -> AsyncGenerator[None]:
    """`asyncio.timeout`, which Python 3.10 does not have."""
    task = asyncio.current_task()
    is_late = False

    def late() -> None:
        nonlocal is_late
        is_late = True
        if task is not None:
            task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, late)
    try:
        yield
    except asyncio.CancelledError:
        if is_late:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
