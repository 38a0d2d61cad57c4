"""Anthropic's API on loopback, which says what it was told to, so that this runs without a key. Yours goes here."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TASK = {"description": "look it up", "prompt": "How was the third quarter?", "subagent_type": "researcher"}
turns: list[Any] = [
    {"Agent": {**TASK, "run_in_background": False}},
    {
        "mcp__files__read_file": {"path": "reports/q3"},
        "mcp__files__delete_file": {"path": "reports/q3"},
    },
    "Profits rose.",
    "It was good.",
]
clerk_turns: list[Any] = [
    {"mcp__records__read_record": {"id": "7"}},
    {"mcp__records__read_record": {"id": "8"}},
    "Record 7 is paid.",
]


def events_of(turn: Any) -> Iterator[dict[str, Any]]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": []}
    usage = {"input_tokens": 1, "output_tokens": 1}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    blocks = [(None, turn)] if isinstance(turn, str) else list(turn.items())
    for index, (name, said) in enumerate(blocks):
        begun = {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(said)}
        if name is None:
            begun, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": said}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "end_turn" if isinstance(turn, str) else "tool_use"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


class Api(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        is_stream = asked.get("stream") is True
        self.send_response(200 if is_stream else 404)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        # Only the agent's own turns have tools; the program asks for titles and the like besides.
        for event in events_of(turns.pop(0) if asked.get("tools") else "aside") if is_stream else ():
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
model_env = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}", "ANTHROPIC_API_KEY": "none"}
