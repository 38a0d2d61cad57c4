"""WebSockets: a visit that becomes a two-way connection.

The same path as every visit, before the connection is accepted. It is the application's own to speak on, is cut when
the visit may not go on, and the visit is over when it is closed.

See: ASGI 3.0, WebSocket; the extension `websocket.http.response`, by which a refusal says why
"""

from __future__ import annotations

import asyncio
import contextlib

from .. import scheduler
from .._threads import in_thread
from ..errors import TrustWardenError, fail
from ..receipts import format_receipt_header
from ..records import Status
from .answer import create_refusal
from .asgi_scope import (
    VISIT,
    AsgiCall,
    Message,
    arrival_of,
    break_off,
    give_up,
    own_headers,
    target_of,
    tell,
)
from .reception import Permit
from .visit import RECEIPT_HEADER, Visit

_STOP_SECONDS = 1.0
_METHOD = "GET"
"""Of the request that asks for a WebSocket (RFC 6455 section 4.1)."""
_POLICY_VIOLATION, _INTERNAL_ERROR = 1008, 1011
"""Close codes of RFC 6455."""
_FIRST_REFUSAL_STATUS = 400


class WebSocketVisit:
    """One connection from its arrival to its end."""

    def __init__(self, call: AsgiCall) -> None:
        self._call = call
        self._permit: Permit | None = None
        self._is_told = False
        self._is_accepted = False
        self._is_refused = False
        self._is_over = False
        self._size = 0

    async def run(self) -> None:
        """What stops a visit becomes its answer; nothing is accepted before it is permitted."""
        target = target_of(self._call.scope)
        await self._call.receive()
        try:
            arrival = arrival_of(self._call.scope, _METHOD, self._call.table, target, b"")
            self._permit = await in_thread(lambda: self._call.reception.admit(arrival), give_up)
            visit = self._permit.begin()
        except (TrustWardenError, OSError) as error:
            await self._refuse(error, target)
            return
        await self._act(self._permit, visit, target)

    async def _act(self, permit: Permit, visit: Visit, target: str) -> None:
        """Calls the application, and ends it when the visit may not go on."""
        loop = asyncio.get_running_loop()
        cut = asyncio.Event()
        visit.signal.on_cut(lambda: tell(loop, cut))
        acting = asyncio.ensure_future(
            self._call.app({**self._call.scope, VISIT: visit}, self._receive_again, self._send_checked)
        )
        cutting = asyncio.ensure_future(cut.wait())
        try:
            await asyncio.wait((acting, cutting), return_when=asyncio.FIRST_COMPLETED)
            if not acting.done():
                acting.cancel()
                # An application that does not stop says nothing more: whatever it sends from now on is refused.
                await asyncio.wait((acting,), timeout=_STOP_SECONDS)
            await self._settle(permit, acting, visit, target)
        except asyncio.CancelledError:
            acting.cancel()
            self._end(permit, "aborted")
            raise
        finally:
            cutting.cancel()

    async def _settle(self, permit: Permit, acting: asyncio.Future[None], visit: Visit, target: str) -> None:
        error = acting.exception() if acting.done() and not acting.cancelled() else asyncio.CancelledError()
        if visit.signal.is_cut:
            await self._cut(permit, visit, target)
        elif error is not None and not self._is_over:
            await self._break_off(permit, error, target)
        elif not self._is_accepted and not self._is_refused:
            await self._break_off(permit, fail("internal", {"reason": "no answer"}), target)
        else:
            self._end(permit, "failure" if self._is_refused or error is not None else "success")

    async def _cut(self, permit: Permit, visit: Visit, target: str) -> None:
        self._end(permit, "aborted")
        try:
            visit.signal.raise_if_cut()
        except TrustWardenError as cause:
            if self._is_accepted or self._is_refused:
                self._call.tell_refusal(cause, _METHOD, target)
                await self._close(_POLICY_VIOLATION)
                break_off(self._call.scope)
            else:
                await self._refuse(cause, target)

    async def _break_off(self, permit: Permit, error: BaseException, target: str) -> None:
        self._end(permit, "failure")
        if self._is_accepted:
            self._call.tell_refusal(error, _METHOD, target)
            await self._close(_INTERNAL_ERROR)
        elif self._is_refused:
            # The head of the application's own refusal has left: a second one would be another answer.
            self._call.tell_refusal(error, _METHOD, target)
            break_off(self._call.scope)
        else:
            await self._refuse(error, target)

    def _end(self, permit: Permit, status: Status) -> None:
        size = self._size
        # Nobody waits for this.
        scheduler.soon(lambda: permit.end(status, size))

    async def _receive_again(self) -> Message:
        """The question to connect, which was taken here, and then what the visitor says."""
        if not self._is_told:
            self._is_told = True
            return {"type": "websocket.connect"}
        message = await self._call.receive()
        if self._permit is None or self._permit.visit.signal.is_cut:
            # An application that goes on in a task of its own would act on the word of who was stopped.
            message = {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}
        if message["type"] == "websocket.disconnect":
            self._is_over = True
        return message

    async def _send_checked(self, message: Message) -> None:
        permit = self._permit
        if permit is None:
            raise RuntimeError("nobody acts before a permit")
        permit.visit.signal.raise_if_cut()
        kind = message["type"]
        if kind in ("websocket.accept", "websocket.http.response.start"):
            receipt = (RECEIPT_HEADER.encode(), format_receipt_header(permit.receipt).encode())
            message = {**message, "headers": [*own_headers(message), receipt]}
        await self._call.send(message)
        if kind == "websocket.accept":
            self._is_accepted = True
        elif kind == "websocket.send":
            self._size += len(message.get("bytes") or (message.get("text") or "").encode())
        elif kind == "websocket.http.response.start":
            self._is_refused = True
        elif kind == "websocket.close":
            self._is_refused = not self._is_accepted
            self._is_over = True

    async def _refuse(self, error: BaseException, target: str) -> None:
        receipt = self._call.refuse(self._permit, error, _METHOD, target)
        if "websocket.http.response" not in (self._call.scope.get("extensions") or {}):
            await self._close(_POLICY_VIOLATION)
            return
        answer = create_refusal(error, receipt, is_whole=True)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        with contextlib.suppress(OSError):
            await self._call.send(
                {"type": "websocket.http.response.start", "status": answer.status, "headers": headers}
            )
            await self._call.send({"type": "websocket.http.response.body", "body": answer.body})

    async def _close(self, code: int) -> None:
        # Whoever has left hears nothing of it; a server may say that by an error of its own.
        with contextlib.suppress(Exception):
            await self._call.send({"type": "websocket.close", "code": code})
