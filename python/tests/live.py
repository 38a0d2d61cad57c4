"""A real server in a temporary directory, with an owner: nothing here stands in for anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import httpx

from trustwarden._bytes import encode_base64url
from trustwarden._crypto import sha256
from trustwarden._json import JsonObject, encode_canonical_json
from trustwarden.dsse import issue_envelope
from trustwarden.keys import InstanceKey
from trustwarden.models import Limits
from trustwarden.runtime import format_ulid
from trustwarden.scope import parse_scope

ROOT = Path(__file__).resolve().parents[2]
WARDEN = ROOT / "cli/main.ts"
TRUST_DOMAIN = "acme.test"
_ENV = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


class Program:
    """A Node program that says in one line of JSON when it is ready."""

    def __init__(self, args: Sequence[str | Path], env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            ["node", *map(str, args)], cwd=ROOT, env={**_ENV, **(env or {})}, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{args[0]} ended before it was ready"
        self.ready: dict[str, Any] = json.loads(line)
        self.pid = self._process.pid

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class LiveServer:
    """A running server and the right to enrol with it."""

    def __init__(self, *flags: str, env: dict[str, str] | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="trustwarden-python-"))
        directories = ["--data", str(self.root / "data"), "--config-dir", str(self.root / "config")]
        listen = ["--port", "0", "--stop-port", "0", "--no-node", "--log-level", "error"]
        self._server = Program([WARDEN, "up", *directories, "--trust-domain", TRUST_DOMAIN, *listen, *flags], env)
        self.pid = self._server.pid
        self.url: str = self._server.ready["url"]
        self.gateway_url: str = self._server.ready.get("gateway_url", "")
        self._admin = httpx.Client(
            transport=httpx.HTTPTransport(uds=self._server.ready["admin_socket"]), base_url="http://localhost"
        )
        self.owner_key = InstanceKey()
        spki = encode_base64url(self.owner_key.spki)
        self.keyid = encode_base64url(sha256(self.owner_key.spki))
        self.owner_id: str = self.admin("POST", "/v1/owners", {"name": "alice", "spki": spki})["owner_id"]
        self.discovery = self.admin("GET", "/.well-known/trustwarden")

    def admin(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = self._admin.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def admin_raw(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        kind = {"content-type": "application/json"}
        answer = self._admin.request(method, path, content=body, headers={**kind, **headers})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def owner(self, path: str, body: JsonObject) -> dict[str, Any]:
        """A request that the owner signs."""
        now, data = int(time.time()), encode_canonical_json(body)
        signed: JsonObject = {
            "v": 1,
            "jti": format_ulid(),
            "aud": self.admin("GET", "/.well-known/trustwarden")["server_id"],
            "owner": self.owner_id,
            "method": "POST",
            "target": path,
            "body_sha256": encode_base64url(sha256(data)),
            "iat": now,
            "exp": now + 60,
        }
        header = encode_base64url(issue_envelope("owner-request", signed, self.owner_key.sign, self.keyid).encode())
        return self.admin_raw("POST", path, data, {"trustwarden-owner": header})

    def read_bytes(self, path: str) -> bytes:
        """What an operator reads at a path."""
        answer = self._admin.get(path)
        assert answer.status_code == 200, answer.text
        return answer.content

    def read_text(self, path: str) -> str:
        return self.read_bytes(path).decode()

    def ticket(
        self,
        name: str,
        scope: Sequence[str],
        *,
        ttl_seconds: int = 3600,
        limits: Limits | None = None,
        authorities_sha256: str | None = None,
        key: InstanceKey | None = None,
    ) -> str:
        now = int(time.time())
        signer = key or self.owner_key
        document: JsonObject = {
            "v": 1,
            "kind": "agent",
            "jti": format_ulid(),
            "aud": f"spiffe://{TRUST_DOMAIN}",
            "iat": now,
            "exp": now + 600,
            "owner": self.owner_id,
            "path": "team/finance",
            "name": name,
            "scope": parse_scope(scope),
            "ttl_seconds": ttl_seconds,
            "limits": cast("JsonObject", limits or {"depth": 3, "fan_out": 2000, "budget": None}),
        }
        envelope = issue_envelope("ticket", document, signer.sign, encode_base64url(sha256(signer.spki)))
        pin = authorities_sha256 or self.discovery["authorities_sha256"]
        value = {"authorities_sha256": pin, "server": self.url, "ticket": envelope}
        return "tw1." + encode_base64url(encode_canonical_json(value))

    def verifier_ticket(self, name: str) -> str:
        return self.admin("POST", "/v1/verifier-tickets", {"name": name, "ttl_seconds": 3600})["ticket"]

    def start_finance(self) -> Program:
        """The finance API of the examples, behind `verifyAgent`."""
        env = {"TRUSTWARDEN_TICKET": self.verifier_ticket("finance")}
        return Program([ROOT / "examples/finance/server.ts"], env)

    def events(self, **query: str) -> list[dict[str, Any]]:
        return self.admin("GET", f"/v1/events?{httpx.QueryParams(query)}")["events"]

    def close(self) -> None:
        self._admin.close()
        self._server.close()
        shutil.rmtree(self.root)
