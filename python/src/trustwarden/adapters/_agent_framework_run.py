"""One run of an agent of Microsoft Agent Framework: its identity, and the three middlewares that carry the guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from uuid import uuid4

from agent_framework import (
    Agent,
    AgentContext,
    AgentMiddleware,
    ChatContext,
    ChatMiddleware,
    ChatMiddlewareLayer,
    Content,
    FunctionInvocationContext,
    FunctionInvocationLayer,
    FunctionMiddleware,
    FunctionTool,
    MiddlewareFailure,
    UserInputRequiredException,
)
from pydantic import BaseModel

from ._agent_run import AgentRun, AgentSpec, RunEnded, current_run
from ._approvals import Question
from ._core import Guard, Refused, ToolCall, Waiting, body_of

GUARDING = "_trustwarden_run"
"""Under which a run travels from where it begins to where it is prepared."""
PAUSES = (UserInputRequiredException,)
"""What a tool raises to wait for somebody: neither a success nor a failure of the call it passes."""


def require_layers(agent: Agent[Any]) -> None:
    """Raises `ValueError` for a chat client that calls functions by itself."""
    client = cast("object", agent.client)
    if not isinstance(client, FunctionInvocationLayer) or not isinstance(client, ChatMiddlewareLayer):
        raise ValueError(f"the chat client of '{agent.name}' calls functions by itself, which cannot be guarded here")


class GuardedRun:
    """One run of one agent."""

    def __init__(self, guard: Guard, spec: AgentSpec) -> None:
        self.guard = guard
        self.spec = spec
        self.run: AgentRun | None = None
        self.can_pause = False
        self.refused: dict[str, str] = {}
        """What the model is to be told of each call that was refused, by its id."""
        self.agent_middleware = _Begin(self)
        self.chat_middleware = _Model(self)
        self.function_middleware = _Tool(self)

    async def open(self, context: AgentContext) -> None:
        """The identity exists before the agent says a word."""
        caller = current_run()
        answers = _answers_in(context)
        self.run = await self.guard.aopen(self.spec, *answers)
        # Inside of a tool the framework has no pause, and without a session nothing keeps what was asked.
        self.can_pause = context.session is not None and (caller is None or caller.is_direct)
        for call, is_approved in answers.items():
            if not is_approved:
                self.run.questions.drop(call)

    async def close(self) -> None:
        """The identity ends with its run, unless it waits for a human."""
        run, self.run = self.run, None
        if run is not None:
            await self.guard.aclose(self.spec, run, run.questions.first())


def _answers_in(context: AgentContext) -> dict[str, bool]:
    """The calls that the run goes on with, and whether each was approved."""
    contents = [content for message in context.messages for content in message.contents]
    given = [content for content in contents if content.type == "function_approval_response"]
    return {
        content.function_call.call_id: content.approved is True
        for content in given
        if content.function_call is not None and content.function_call.call_id is not None
    }


class _Begin(AgentMiddleware):
    """The beginning and the end of a run."""

    def __init__(self, guarded: GuardedRun) -> None:
        self._guarded = guarded

    async def process(self, context: AgentContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Opens the run; a stream ends it when it has been consumed."""
        guarded = self._guarded
        await guarded.open(context)
        context.client_kwargs = {**context.client_kwargs, GUARDING: guarded}
        if context.stream:
            context.stream_cleanup_hooks.append(guarded.close)
        is_streaming = False
        try:
            await call_next()
            is_streaming = context.stream
        finally:
            if not is_streaming:
                await guarded.close()


class _Model(ChatMiddleware):
    """Before each word of the model."""

    def __init__(self, guarded: GuardedRun) -> None:
        self._guarded = guarded

    async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Refuses what the vendor would run, and lets the model read what was refused to it."""
        for tool in (context.options or {}).get("tools") or ():
            if not isinstance(tool, FunctionTool):
                raise MiddlewareFailure("TrustWarden cannot guard tools that run at the model's vendor")
        for message in context.messages:
            for content in message.contents:
                text = self._guarded.refused.get(content.call_id or "")
                if text is not None and content.type == "function_result" and content.exception is not None:
                    content.result, content.items = text, [Content.from_text(text)]
        await call_next()


class _Tool(FunctionMiddleware):
    """The last step before a tool's function."""

    def __init__(self, guarded: GuardedRun) -> None:
        self._guarded = guarded

    async def process(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Decides, calls, reports."""
        run, guard, tool = self._guarded.run, self._guarded.guard, context.function.name
        if run is None:
            raise MiddlewareFailure("a protected agent's tool was called outside of its run")
        key = str(context.metadata.get("call_id") or uuid4().hex)
        try:
            with run.step():
                async with await self._decided(tool, _arguments_of(context), key):
                    with body_of(guard, tool):
                        await call_next()
        except Refused as refused:
            self._guarded.refused[key] = str(refused)
            raise
        except Waiting as waiting:
            context.result = _request_for(waiting.question, context, key)
        except RunEnded as ended:
            raise MiddlewareFailure(str(ended)) from ended

    async def _decided(self, tool: str, args: Mapping[str, object], key: str) -> ToolCall:
        try:
            return await self._guarded.guard.call(tool, args, key).adecided()
        except Waiting:
            if self._guarded.can_pause:
                raise
            return await self._guarded.guard.call(tool, args, key).adecided()


def _arguments_of(context: FunctionInvocationContext) -> dict[str, object]:
    given = context.arguments
    return given.model_dump() if isinstance(given, BaseModel) else dict(given)


def _request_for(question: Question, context: FunctionInvocationContext, key: str) -> Content:
    """The framework's own question, with what the owner is asked about in it."""
    call_id = cast("str | None", context.metadata.get("function_call_occurrence_id"))
    call = Content.from_function_call(
        call_id=key, name=context.function.name, arguments=dict(question.args), id=call_id
    )
    asked = {"trustwarden": question.payload()}
    return Content.from_function_approval_request(id=call_id or key, function_call=call, additional_properties=asked)
