"""A real server whose policy asks a human before mail is sent, and its owner."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from live import ROOT, TRUST_DOMAIN, LiveServer
from trustwarden import AgentIdentity
from trustwarden._bytes import encode_base64url
from trustwarden._crypto import sha256
from trustwarden.dsse import issue_envelope
from trustwarden.runtime import format_ulid

_numbers = count()


class World:
    """Owns the server and its directory."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="trustwarden-frameworks-"))
        policies = self._directory / "policies"
        shutil.copytree(ROOT / "policies", policies)
        data = policies / "trustwarden/data.json"
        document = json.loads(data.read_text())
        document["policy"]["asks"]["send"] = {"at": ["self"], "why": "Mail cannot be unsent."}
        data.write_text(json.dumps(document))
        settings = self._directory / "settings.json"
        settings.write_text(json.dumps({"policyDir": str(policies)}))
        self.server = LiveServer("--config", str(settings))
        self._admin = self.server._admin

    def create(self, scope: Sequence[str]) -> AgentIdentity:
        """An agent with a name of its own."""
        name = f"desk-{next(_numbers)}"
        return AgentIdentity.create(name=name, ticket=self.server.ticket(name, scope))

    def expect_records(self, identity: AgentIdentity, expected: list[tuple[str, str, str]]) -> None:
        """The ledger's index says exactly this; it follows the ledger, so it is asked until it does."""
        self.eventually(lambda: self.records(identity) == expected, lambda: f"{self.records(identity)} != {expected}")

    def eventually(self, holds: Callable[[], bool], found: Callable[[], object]) -> None:
        """Waits for a condition, longer than any machine needs."""
        ends_at = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < ends_at, found()
            time.sleep(0.02)

    def records(self, identity: AgentIdentity) -> list[tuple[str, str, str]]:
        """(agent, action, outcome) of what this instance and all below it did, oldest first.

        A decision that came too late to be worth anything, as at load, never finishes: the call was asked about anew.
        """
        finished = [event for event in self.events(identity) if event["outcome"] != "pending"]
        below = [event for event in finished if event["kind"] == "action"]
        return [(str(event["agent_identity"]), str(event["action"]), str(event["outcome"])) for event in below]

    def events(self, identity: AgentIdentity) -> list[dict[str, Any]]:
        """Everything that names this agent in its chain, oldest first."""
        found = self.server.events(limit="500")
        return [event for event in reversed(found) if identity.agent_id in event["chain"]]

    def revoke(self, identity: AgentIdentity) -> None:
        """As an operator does, behind the agent's back."""
        target = {"kind": "instance", "id": identity.instance_id}
        self.server.admin("POST", "/v1/revocations", {"target": target, "reason": "stop"})

    def waiting_question(self, identity: AgentIdentity) -> str:
        """The question that this agent waits with, as soon as there is one."""
        found: list[str] = []

        def has_come() -> bool:
            asked = self.server.admin("GET", "/v1/approvals?state=pending&limit=256")["approvals"]
            found.extend(str(view["id"]) for view in asked if view["agent"] == identity.id)
            return bool(found)

        self.eventually(has_come, lambda: "nothing waits")
        return found[0]

    def approve(self, request: str, answer: str = "approve") -> None:
        """The owner's signed yes, or no, as soon as the question has arrived."""
        view = self._question(request)
        now = int(time.time())
        named = ("id", "intent_sha256", "agent", "action", "resource", "audience", "policy_sha256")
        approval = {
            "v": 1,
            "aud": f"spiffe://{TRUST_DOMAIN}",
            "answer": answer,
            "iat": now,
            "exp": now + 900,
            "owner": view["owner_id"],
            "parameters": view["commitment"],
            **{name: view[name] for name in named},
        }
        body = {"approval": self._signed("approval", approval)}
        path = f"/v1/approvals/{request}/answer"
        request_ = {
            "v": 1,
            "jti": format_ulid(),
            "aud": self.server.discovery["server_id"],
            "owner": self.server.owner_id,
            "method": "POST",
            "target": path,
            "body_sha256": encode_base64url(sha256(json.dumps(body).encode())),
            "iat": now,
            "exp": now + 60,
        }
        signed = encode_base64url(self._signed("owner-request", request_).encode())
        answer = self._admin.post(
            path,
            content=json.dumps(body).encode(),
            headers={"trustwarden-owner": signed, "content-type": "application/json"},
        )
        assert answer.status_code == 200, answer.text

    def close(self) -> None:
        self.server.close()
        shutil.rmtree(self._directory)

    def _question(self, request: str) -> dict[str, Any]:
        self.eventually(
            lambda: self._admin.get(f"/v1/approvals/{request}").status_code == 200,
            lambda: "the question never arrived",
        )
        return self._admin.get(f"/v1/approvals/{request}").json()

    def _signed(self, name: str, payload: dict[str, Any]) -> str:
        key = self.server.owner_key
        return issue_envelope(name, payload, key.sign, encode_base64url(sha256(key.spki)))
