"""Anthropic's API on loopback: it says what a script says, as the API streams it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness import Turn

USAGE = {"input_tokens": 1, "output_tokens": 1}


class ScriptedApi:
    """One agent's model. Owns its server."""

    def __init__(self, turns: Any) -> None:
        self.left: list[Turn] = list(turns)
        self.told: dict[str, tuple[str, bool]] = {}
        """Each tool's result as the model is told it, and whether it is an error."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: dict[str, Any]) -> Turn:
        """The next turn; only the agent's own turns have tools, the program asks for titles and the like besides."""
        if not asked.get("tools"):
            return "aside"
        for message in asked["messages"]:
            blocks = message["content"] if isinstance(message["content"], list) else []
            for block in blocks:
                if block["type"] == "tool_result":
                    self.told[block["tool_use_id"]] = (text_of(block["content"]), block.get("is_error") is True)
        return self.left.pop(0) if self.left else "over"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
                is_message = self.path.startswith("/v1/messages") and asked.get("stream") is True
                self.send_response(200 if is_message else 404)
                self.send_header("content-type", "text/event-stream" if is_message else "application/json")
                self.end_headers()
                for event in events_of(api.answer(asked)) if is_message else ():
                    self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        return Handler


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(str(block.get("text", "")) for block in content)


def events_of(turn: Turn) -> Iterator[dict[str, Any]]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": []}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": USAGE}}
    for index, block in enumerate([turn] if isinstance(turn, str) else turn):
        if isinstance(block, str):
            begun: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block}
        else:
            begun = {"type": "tool_use", "id": block.id, "name": block.tool, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block.args)}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop_reason = "end_turn" if isinstance(turn, str) else "tool_use"
    yield {"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": None}, "usage": USAGE}
    yield {"type": "message_stop"}
