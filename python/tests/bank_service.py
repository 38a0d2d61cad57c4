"""A service that agents visit, under an unmodified server, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from live import LiveServer

SERVICES = Path(__file__).parent / "services"
COMMANDS = {
    "asgi": [sys.executable, str(SERVICES / "serve_uvicorn.py")],
    "wsgi": [sys.executable, "-m", "gunicorn", "--config", str(SERVICES / "gunicorn_bank.py")],
}


class Bank:
    """The bank in a process of its own."""

    def __init__(self, live: LiveServer, style: str, log: Path) -> None:
        env = {
            **os.environ,
            "TRUSTWARDEN_TICKET": live.verifier_ticket("bank"),
            "BANK_LOG": str(log),
            "PYTHONPATH": str(SERVICES),
        }
        self._process = subprocess.Popen(COMMANDS[style], env=env, cwd=SERVICES, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the bank ended before it was ready"
        ready = json.loads(line)
        self.url: str = ready["url"]
        self.id: str = ready["id"]
        self._log = log

    def said(self) -> list[dict[str, Any]]:
        """What it did and refused, oldest first."""
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []

    def done(self) -> list[dict[str, Any]]:
        return [entry for entry in self.said() if "did" in entry]

    def acts_of(self, agent: str) -> int:
        return len([entry for entry in self.done() if entry["agent"] == agent])

    def refused(self) -> list[str]:
        return [entry["refused"] for entry in self.said() if "refused" in entry]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
