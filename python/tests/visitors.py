"""Who visits the services under test: an agent of the TypeScript SDK, and one that does what no SDK would."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from live import ROOT, LiveServer
from trustwarden._bytes import encode_base64url
from trustwarden.enrol import enrol, read_ticket
from trustwarden.intent import BoundRequest, IntentDraft, IntentWriter, commit_to_request
from trustwarden.keys import InstanceKey
from trustwarden.runtime import random_bytes
from trustwarden.server import connect_server
from trustwarden.tls import anonymous_context, client_context

_ENV = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


class TypeScriptAgent:
    """The real SDK, in a process of its own."""

    def __init__(self, live: LiveServer, name: str, scope: Sequence[str]) -> None:
        env = {
            "TRUSTWARDEN_TICKET": live.ticket(name, scope),
            "VISITOR_NAME": name,
            "VISITOR_SCOPE": " ".join(scope),
        }
        self._process = subprocess.Popen(
            ["node", str(ROOT / "test/support/visiting-agent.ts")],
            cwd=ROOT,
            env={**_ENV, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.id: str = self.hear()["id"]

    def visit(self, url: str, **call: object) -> dict[str, Any]:
        """Asks, and hears how it went."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"url": url, **call}) + "\n")
        self._process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """The next thing that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the agent has ended"
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Forger:
    """An enrolled agent that signs whatever it likes and sends whatever it likes with it."""

    def __init__(self, live: LiveServer, name: str, scope: Sequence[str]) -> None:
        held = read_ticket(live.ticket(name, scope))
        self.server = connect_server(held.address)
        self.enrolled = enrol(self.server, InstanceKey(), held.envelope, None)
        self.credential = self.enrolled.credential
        self._writer = IntentWriter(str(self.enrolled.answer.agent_id), lambda: None)

    @property
    def id(self) -> str:
        return self.credential.svid.id

    def sign(
        self, request: BoundRequest, *, action: str, resource: str, audience: str, key: InstanceKey | None = None
    ) -> dict[str, str]:
        """Headers that say what they are told to say."""
        salt = random_bytes(32)
        draft = IntentDraft(action, resource, commit_to_request(request, salt), None, audience)
        leaf = self.credential.svid.leaf.sha256
        signed = self._writer.sign(draft, self.id, leaf, key or self.credential.key)
        return {
            "trustwarden-intent": encode_base64url(signed.envelope.encode()),
            "trustwarden-salt": encode_base64url(salt),
        }

    def send(
        self, url: str, headers: Mapping[str, str], *, method: str = "GET", body: bytes = b"", is_known: bool = True
    ) -> httpx.Response:
        """One request over a connection with its SVID, or with none."""
        context = client_context(self.credential.key, self.credential.svid_chain) if is_known else anonymous_context()
        with httpx.Client(verify=context, timeout=20) as client:
            return client.request(method, url, headers=dict(headers), content=body)

    def close(self) -> None:
        self.credential.retire()
        self.server.close()


def self_made_context(spiffe_id: str) -> ssl.SSLContext:
    """A client with a certificate that it signed for itself."""
    key = InstanceKey()
    private = key.lend_to_tls()
    now = datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key, x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]), critical=False)
        .sign(private, SHA256())
    )
    return client_context(key, [certificate.public_bytes(Encoding.DER)])
