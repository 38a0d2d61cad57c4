"""Runs the bank under uvicorn and says in one line of JSON where it is."""

from __future__ import annotations

import json
import socket
import sys

import uvicorn
from bank import asgi_app, guard

from trustwarden.service.uvicorn import VisitProtocol, context_of

listener = socket.create_server(("127.0.0.1", 0))
sys.stdout.write(json.dumps({"url": f"https://127.0.0.1:{listener.getsockname()[1]}", "id": guard.id}) + "\n")
sys.stdout.flush()
config = uvicorn.Config(
    asgi_app,
    http=VisitProtocol,
    ssl_context_factory=context_of(guard),
    log_level="critical",
    lifespan="off",
    # Python 3.10 waits for ever for a peer that says nothing more to end its TLS, and uvicorn for Python.
    timeout_graceful_shutdown=5,
)
uvicorn.Server(config).run(sockets=[listener])
guard.close()
