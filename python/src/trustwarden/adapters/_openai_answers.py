"""What MCP servers answer to the OpenAI Agents SDK, which makes a text of an answer before any tool sees it.

So an answer that calls itself a failure is noted where it comes in: on its way from the server, for the call at work.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from agents.mcp import MCPServer

from ._core import ToolCall

_at_work: ContextVar[ToolCall | None] = ContextVar("trustwarden_openai_answering", default=None)
_NOTED = "__trustwarden_noted__"


@contextmanager
def noting_answers(call: ToolCall) -> Generator[None]:
    """Around a tool's body: what a server answers meanwhile, also to a task of the SDK's, is this call's."""
    token = _at_work.set(call)
    try:
        yield
    finally:
        _at_work.reset(token)


def note_answers_of(server: MCPServer) -> None:
    """Has a server's answers noted, once; it stays the object that it was, for its other agents too."""
    original = type(server)
    if hasattr(original, _NOTED):
        return

    async def call_tool(self: Any, *args: Any, **options: Any) -> Any:
        answer = await original.call_tool(self, *args, **options)
        call = _at_work.get()
        return answer if call is None else call.answered(answer)

    members = {"call_tool": call_tool, _NOTED: True, "__module__": original.__module__}
    server.__class__ = type(original.__name__, (original,), members)
