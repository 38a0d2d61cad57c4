from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError

SCOPE = ["infer:llm:models/gpt_3Atest", "list:llm", "read:rows"]
ROUTES = [{"method": "GET", "path": "/rows/{id}", "action": "read:rows", "resource": "db://rows/{id}"}]


class Upstream(BaseHTTPRequestHandler):
    """Says what it was asked, as JSON; keeps the headers."""

    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self._answer({"data": [], "path": self.path})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "one two"}}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        self._answer(
            {"id": "1", "object": "chat.completion", "model": asked["model"], "choices": [choice], "usage": usage}
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _answer(self, body: object) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def gateway() -> Iterator[LiveServer]:
    Upstream.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        server = LiveServer("--gateway-port", "0")
        for name, kind, settings in (("models", "openai", {}), ("rows", "http", {"routes": ROUTES})):
            url = f"http://127.0.0.1:{upstream.server_port}"
            registered = {"name": name, "kind": kind, "url": url, "allow_private": True, "settings": settings}
            server.admin("POST", "/v1/upstreams", registered)
        yield server
        server.close()
        upstream.shutdown()


@pytest.fixture
def thinker(gateway: LiveServer) -> Iterator[AgentIdentity]:
    with AgentIdentity.create(name="thinker", ticket=gateway.ticket("thinker", SCOPE)) as agent:
        yield agent


def test_a_model_is_asked_through_the_gateway_and_gets_no_credential_of_the_caller(
    gateway: LiveServer, thinker: AgentIdentity
) -> None:
    asked = {"model": "gpt:test", "messages": [{"role": "user", "content": "hello"}]}
    with thinker.client(base_url=f"{gateway.gateway_url}/models", headers={"authorization": "Bearer none"}) as client:
        answer = client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "one two"
    assert "authorization" not in Upstream.seen[-1]
    assert thinker.receipts[-1].action == "infer:llm:models/gpt_3Atest"


def test_the_operators_table_names_calls_to_plain_http(gateway: LiveServer, thinker: AgentIdentity) -> None:
    answer = thinker.fetch(f"{gateway.gateway_url}/rows/rows/7")
    assert (answer.status_code, thinker.receipts[-1].resource) == (200, "db://rows/7")


def test_a_model_outside_of_the_scope_is_not_asked(gateway: LiveServer, thinker: AgentIdentity) -> None:
    before = len(Upstream.seen)
    answer = thinker.fetch(f"{gateway.gateway_url}/models/v1/chat/completions", method="POST", json={"model": "other"})
    assert (answer.status_code, len(Upstream.seen)) == (403, before)
    assert not thinker.receipts[-1].allow


@pytest.mark.parametrize(
    ("path", "code"),
    [("nobody/x", "upstream_unknown"), ("models/v1/files", "route_unknown"), ("rows/other", "route_unknown")],
)
def test_what_the_gateway_does_not_serve_is_not_sent(
    gateway: LiveServer, thinker: AgentIdentity, path: str, code: str
) -> None:
    before = len(Upstream.seen)
    with pytest.raises(TrustWardenError) as failed:
        thinker.fetch(f"{gateway.gateway_url}/{path}")
    assert (failed.value.code, len(Upstream.seen)) == (code, before)
