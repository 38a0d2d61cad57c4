"""A small bank that agents visit, as an ASGI and as a WSGI application; writes a line for each act and each refusal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trustwarden import Route, TrustWardenError, verify_agent
from trustwarden.service.asgi import Receive, Scope, Send
from trustwarden.service.asgi import visit_of as asgi_visit_of
from trustwarden.service.visit import Refusal, Visit
from trustwarden.service.wsgi import Environ, StartResponse
from trustwarden.service.wsgi import visit_of as wsgi_visit_of

ROUTES = [
    Route("GET", "/transactions/{id}", "read:transactions", "bank://ledger/transactions/{id}"),
    Route("POST", "/transactions", "write:transactions", "bank://ledger/transactions"),
    Route("DELETE", "/transactions/{id}", "delete:transactions", "bank://ledger/transactions/{id}"),
    Route("GET", "/stream", "read:stream", "bank://ledger/stream"),
    Route("GET", "/broken", "read:broken", "bank://ledger/broken"),
    Route("GET", "/talk", "talk:transactions", "bank://ledger/talk"),
    Route("GET", "/talk/broken", "talk:failure", "bank://ledger/talk/broken"),
    Route("GET", "/talk/closed", "talk:refusal", "bank://ledger/talk/closed"),
    Route("GET", "/talk/torn", "talk:torn", "bank://ledger/talk/torn"),
    Route("GET", "/talk/stubborn", "talk:on", "bank://ledger/talk/stubborn"),
]
LOG = Path(os.environ["BANK_LOG"])


def log(**entry: object) -> None:
    with LOG.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def on_refusal(refusal: Refusal) -> None:
    error = refusal.error
    log(refused=error.code if isinstance(error, TrustWardenError) else type(error).__name__, path=refusal.path)


guard = verify_agent(ROUTES, name="bank", on_refusal=on_refusal)


def act(visit: Visit, path: str) -> bytes:
    """`path` is where the application itself would look for what to do."""
    log(did=visit.action, resource=visit.resource, agent=visit.agent.spiffe_id, body=visit.body.decode(), path=path)
    return json.dumps(
        {"agent": visit.agent.agent_id, "params": dict(visit.params), "owner": visit.agent.owner_id}
    ).encode()


async def _asgi(scope: Scope, receive: Receive, send: Send) -> None:
    visit = asgi_visit_of(scope)
    message = await receive()
    if scope["type"] == "websocket":
        await _talk(visit, receive, send)
        return
    if message["body"] != visit.body:
        raise ValueError("the body that was signed is the body that is read")
    body = act(visit, scope["path"])
    if visit.action == "read:broken":
        raise ValueError("broken")
    forged = (b"trustwarden-receipt", b"forged")
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json"), forged]}
    )
    while visit.action == "read:stream":
        await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
        await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": body})


async def _talk(visit: Visit, receive: Receive, send: Send) -> None:
    """Says back what it hears."""
    if visit.action == "talk:refusal":
        await send({"type": "websocket.close", "code": 1000})
        return
    if visit.action == "talk:torn":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"content-length", b"9")]})
        raise ValueError("torn")
    log(did=visit.action, resource=visit.resource, agent=visit.agent.spiffe_id, body="", path="/talk")
    await send({"type": "websocket.accept", "headers": [(b"trustwarden-receipt", b"forged")]})
    if visit.action == "talk:failure":
        raise ValueError("broken")
    if visit.action == "talk:on":
        listening = asyncio.ensure_future(_listen_on(visit, receive))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(listening)
        await listening
        return
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{visit.agent.spiffe_id} said {message['text']}"})


async def _listen_on(visit: Visit, receive: Receive) -> None:
    """Does not stop when it is told to, and writes down what it is told by whom it should hear no more."""
    while (message := await receive())["type"] == "websocket.receive":
        if visit.signal.is_cut:
            log(heard=message["text"])


def _wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    visit = wsgi_visit_of(environ)
    if environ["wsgi.input"].read() != visit.body:
        raise ValueError("the body that was signed is the body that is read")
    body = act(visit, environ["PATH_INFO"])
    if visit.action == "read:broken":
        raise ValueError("broken")
    headers = [("content-type", "application/json"), ("trustwarden-receipt", "forged")]
    if visit.action == "read:stream":
        start_response("200 OK", headers)
        return _ticks()
    start_response("200 OK", [*headers, ("content-length", str(len(body)))])
    return [body]


def _ticks() -> Iterable[bytes]:
    pause = threading.Event()
    while True:
        yield b"tick\n"
        pause.wait(0.02)


_guarded: Any = guard.asgi(_asgi)


async def _noted(scope: Scope, receive: Receive, send: Send) -> None:
    """Writes down what leaves for a visitor of one path, whatever the server makes of it."""

    async def note(message: Any) -> None:
        log(left=message["type"])
        await send(message)

    await _guarded(scope, receive, note if scope.get("path") == "/talk/torn" else send)


asgi_app: Any = _noted
wsgi_app: Any = guard.wsgi(_wsgi)
