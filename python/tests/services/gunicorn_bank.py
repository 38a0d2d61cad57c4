"""Settings of gunicorn for the bank: one process, since a ticket enrols one instance, and a thread a visit."""

from __future__ import annotations

import json
import ssl
import sys
from typing import Any

bind = "127.0.0.1:0"
worker_class = "gthread"
workers = 1
threads = 8
loglevel = "critical"
wsgi_app = "bank:wsgi_app"
# Gunicorn speaks TLS when a certificate is named; the context comes from the guard, and the file is never read.
certfile = __file__


def ssl_context(config: Any, default: Any) -> ssl.SSLContext:
    from bank import guard

    return guard.ssl_context


def post_worker_init(worker: Any) -> None:
    from bank import guard

    port = worker.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"url": f"https://127.0.0.1:{port}", "id": guard.id}) + "\n")
    sys.stdout.flush()


def worker_exit(server: Any, worker: Any) -> None:
    from bank import guard

    guard.close()
