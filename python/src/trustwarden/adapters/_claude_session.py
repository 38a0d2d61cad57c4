"""One connection of the Claude Agent SDK: the runs of its agent and sub-agents, and the calls that it makes."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import anyio
from claude_agent_sdk import (
    CanUseTool,
    ClaudeAgentOptions,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    ToolPermissionContext,
)
from mcp import types

from ..errors import TrustWardenError, fail
from ._agent_run import AgentRun, AgentSpec, RunEnded
from ._core import Guard, Refused, ToolCall, Waiting, refusal_in
from ._cut import Cut, Interruptible

_HOOK_TIMEOUT_SECONDS = 30.0
"""A decision takes milliseconds; a server that cannot be reached is a refusal after this."""
_ASKING_MODES = frozenset({"default", "plan"})
"""Permission modes in which the SDK asks when a hook says so; in the others it might go on by itself."""
_TOOL_USE = "claudecode/toolUseId"
_TOOLS_CALL = "tools/call"


@dataclass(eq=False)
class _Call:
    """A call of the SDK's program that was not refused."""

    run: AgentRun
    tool: str
    call: ToolCall
    asked: str
    """The arguments that were decided about, as text."""
    is_started: bool = False
    has_failed: bool = False
    unwatch: Callable[[], None] | None = None
    """Ends the watch over a stop while the SDK's program is at work."""


_lost: ContextVar[list[Exception] | None] = ContextVar("trustwarden_claude_lost", default=None)
"""Set around a tool of this process: MCP makes a text of what a sub-agent's run ended with."""


def _lose(error: Exception) -> None:
    lost = _lost.get()
    if lost is not None:
        lost.append(error)


class GuardedSession:
    """Owns the runs and the calls of one client."""

    def __init__(
        self, guard: Guard, options: ClaudeAgentOptions, name: str, scopes: Mapping[str, Sequence[str]]
    ) -> None:
        self._guard = guard
        self._own_can_use_tool: CanUseTool | None = options.can_use_tool
        self._specs: dict[str, AgentSpec] = {}
        for kind, agent in (options.agents or {}).items():
            if kind in scopes or agent.tools:
                self._specs[kind] = guard.spec_of(kind, list(agent.tools or ()))
        self._specs |= {kind: guard.spec_of(kind, ()) for kind in scopes if kind not in self._specs}
        own = [tool for tool in options.allowed_tools if "(" not in tool]
        self._root = guard.root_spec_of(name, own)
        self._run: AgentRun | None = None
        self._below: dict[str, tuple[AgentSpec, AgentRun]] = {}
        self._calls: dict[str, _Call] = {}
        self._ended: RunEnded | None = None
        self._reading = Interruptible()
        self._starting = anyio.Lock()
        """A sub-agent may call several tools at once; it starts once."""

    def options_over(self, options: ClaudeAgentOptions) -> ClaudeAgentOptions:
        """The caller's options, with the guard in them."""
        return dataclasses.replace(
            options,
            hooks=self._hooks_over(options.hooks or {}),
            can_use_tool=self._can_use_tool,
            mcp_servers=_guarded_servers(options.mcp_servers, self),
        )

    async def open(self) -> None:
        """The identity exists before the agent says a word. Raises as `AgentIdentity.spawn`."""
        if self._run is not None:
            raise ValueError("the client is connected already")
        self._ended, self._reading = None, Interruptible()
        try:
            self._run = await self._guard.aopen(self._root)
        except TrustWardenError as error:
            _lose(error)
            raise

    async def close(self) -> None:
        """Whatever runs has been broken off; then the identities are over too."""
        calls, self._calls = list(self._calls.values()), {}
        for each in calls:
            if each.is_started:
                await _report(each, fail("call_aborted", {"reason": "the run is over"}))
        below, self._below = list(self._below.values()), {}
        for spec, run in below:
            await self._guard.aclose(spec, run)
        run, self._run = self._run, None
        if run is not None:
            await self._guard.aclose(self._root, run)

    def check(self) -> None:
        """Raises what ended the identity of this run, if anything did."""
        if self._ended is not None:
            _lose(self._ended)
            raise self._ended

    async def each_of(self, messages: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
        """The messages of a run; no more once its identity is over. Raises `RunEnded`.

        A stop while the program is at work is told here: who reads leaves, and the program ends with the connection.
        """
        async with aclosing(messages):
            while True:
                message = await self._reading.run(lambda: anext(messages, None))
                self.check()
                if message is None:
                    return
                yield message

    def _begin(self, known: _Call) -> None:
        """From here the program is at work: a stop of the run's own agent ends the run with it."""
        known.is_started = True

        def stopped() -> None:
            self._note(RunEnded(fail("identity_revoked", {"reason": "stopped during the call"}), known.run))
            if self._ended is not None:
                self._reading.interrupt()

        known.unwatch = known.run.identity.when_stopped(stopped)

    def _hooks_over(self, hooks: Mapping[Any, Any]) -> dict[Any, Any]:
        """What makes the SDK's program ask us, beside the hooks that the caller has."""
        added = {
            "PreToolUse": self._asked,
            "PostToolUse": self._done,
            "PostToolUseFailure": self._failed,
            "SubagentStop": self._left,
        }
        merged = {event: list(matchers) for event, matchers in hooks.items()}
        merged["PreToolUse"] = [_without_changes(matcher) for matcher in merged.get("PreToolUse", ())]
        for event, listener in added.items():
            ours = HookMatcher(hooks=[cast("Any", listener)], timeout=_HOOK_TIMEOUT_SECONDS, on_failure="block")
            merged[event] = [ours, *merged.get(event, ())]
        return merged

    async def _can_use_tool(
        self, tool: str, given: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        """The application's user may say no; only the owner's yes lets the call happen."""
        key = context.tool_use_id or ""
        known = self._calls.get(key)
        own = None if self._own_can_use_tool is None else await self._own_can_use_tool(tool, given, context)
        if isinstance(own, PermissionResultDeny) or known is None:
            self._drop(key)
            return own if isinstance(own, PermissionResultDeny) else _denied(f"{tool} was not decided about.")
        if _text_of(given if own is None or own.updated_input is None else own.updated_input) != known.asked:
            self._drop(key)
            return _denied(f"{tool} was changed after it was decided about.")
        if known.is_started:
            # The guard has allowed it, and the SDK's own rules ask: that is the user's alone.
            return _denied(f"{tool} was not permitted.") if own is None else own
        try:
            with known.run.step():
                await known.call.adecided()
        except (Refused, RunEnded) as error:
            self._calls.pop(key, None)
            self._note(error)
            return _denied(_told(error, tool))
        self._begin(known)
        return PermissionResultAllow(updated_input=given)

    async def within(self, key: str | None, body: Callable[[], Awaitable[Any]]) -> Any:
        """Runs a tool of this process as the agent that called it. Raises `Refused` for a call that nobody made."""
        known = self._calls.get(key or "")
        if known is None or not known.is_started:
            raise Refused(fail("agent_missing", {"reason": "the call was not decided about"}), "a tool of this process")
        lost: list[Exception] = []
        token = _lost.set(lost)
        try:
            with known.run.step():
                result = await Cut(known.run).around(body)
        except RunEnded as ended:
            # The run's next message raises it; the program hears that the call was not made.
            self._note(ended)
            known.has_failed = True
            raise Refused(ended, known.tool) from ended
        finally:
            _lost.reset(token)
        known.has_failed = bool(getattr(result, "is_error", False)) or bool(lost)
        refused = next((found for found in map(refusal_in, lost) if found is not None), None)
        if refused is not None:
            raise Refused(refused, known.tool) from refused
        return result

    async def _asked(self, given: Any, _key: str | None, _context: Any) -> dict[str, Any]:
        tool, key, args = str(given["tool_name"]), str(given["tool_use_id"]), dict(given["tool_input"])
        try:
            run = await self._run_of(given)
            known = _Call(run, tool, self._guard.call(tool, args, key), _text_of(args))
            self._calls[key] = known
            with run.step():
                await known.call.adecided()
            self._begin(known)
            return {}
        except Waiting as waiting:
            if given.get("permission_mode", "default") in _ASKING_MODES:
                return _answer("ask", f"{waiting.question.action} needs the yes of the agent's owner.")
            self._drop(key)
            return _answer("deny", str(Refused(fail("approval_required"), tool)))
        except (TrustWardenError, Refused) as error:
            self._calls.pop(key, None)
            self._note(error)
            ends = {} if self._ended is None else {"continue_": False, "stopReason": str(error)}
            return {**ends, **_answer("deny", _told(error, tool))}

    async def _done(self, given: Any, _key: str | None, _context: Any) -> dict[str, Any]:
        known = self._calls.pop(str(given["tool_use_id"]), None)
        if known is not None and known.is_started:
            await _report(known, RuntimeError("failed") if known.has_failed else None)
        return {}

    async def _failed(self, given: Any, _key: str | None, _context: Any) -> dict[str, Any]:
        known = self._calls.pop(str(given["tool_use_id"]), None)
        if known is not None and known.is_started:
            aborted = fail("call_aborted", {"reason": "the run was interrupted"})
            await _report(known, aborted if given.get("is_interrupt") is True else RuntimeError("failed"))
        return {}

    async def _left(self, given: Any, _key: str | None, _context: Any) -> dict[str, Any]:
        known = self._below.pop(str(given["agent_id"]), None)
        if known is not None:
            await self._guard.aclose(*known)
        return {}

    async def _run_of(self, given: Mapping[str, Any]) -> AgentRun:
        """Whose call it is. Raises `agent_missing` for a sub-agent of a type that nobody named; and as `spawn`."""
        if self._run is None:
            raise fail("agent_missing", {"reason": "the client is not connected"})
        agent = given.get("agent_id")
        if agent is None:
            return self._run
        async with self._starting:
            if agent not in self._below:
                spec = self._specs.get(str(given.get("agent_type")))
                if spec is None:
                    raise fail("agent_missing", {"type": str(given.get("agent_type"))})
                with self._run.step():
                    self._below[agent] = (spec, await self._guard.aopen(spec))
        return self._below[agent][1]

    def _drop(self, key: str) -> None:
        """Forgets a call that will not be made; one that began is reported by the SDK."""
        known = self._calls.get(key)
        if known is not None and not known.is_started:
            del self._calls[key]
            known.run.questions.drop(key)

    def _note(self, error: Exception) -> None:
        if isinstance(error, RunEnded) and error.run is self._run:
            self._ended = error


async def _report(known: _Call, error: Exception | None) -> None:
    if known.unwatch is not None:
        known.unwatch()
    await known.call.__aexit__(None if error is None else type(error), error, None)


def _answer(decision: str, reason: str) -> dict[str, Any]:
    said = {"hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason}
    return {"hookSpecificOutput": said}


def _denied(message: str) -> PermissionResultDeny:
    return PermissionResultDeny(message=message)


def _told(error: Exception, tool: str) -> str:
    """What the model reads."""
    return str(Refused(error, tool)) if isinstance(error, TrustWardenError) else str(error)


def _text_of(args: object) -> str:
    return json.dumps(args, sort_keys=True)


def _without_changes(matcher: HookMatcher) -> HookMatcher:
    """The caller's hooks may refuse a call, and not make another one of it."""

    def bound(hook: Any) -> Any:
        async def called(given: Any, key: str | None, context: Any) -> Any:
            said = await hook(given, key, context)
            changed = cast("Any", said or {}).get("hookSpecificOutput", {}).get("updatedInput")
            if changed is None or _text_of(changed) == _text_of(given["tool_input"]):
                return said
            return _answer("deny", f"{given['tool_name']} was changed after it was decided about.")

        return called

    return dataclasses.replace(matcher, hooks=[bound(hook) for hook in matcher.hooks])


def _guarded_servers(servers: Any, session: GuardedSession) -> Any:
    """The MCP servers, those of this process copied so that their tools run as the agent that calls them."""
    if not isinstance(servers, dict):
        return servers
    named = cast("dict[str, Any]", servers)
    return {name: _guarded_server(config, session) for name, config in named.items()}


def _guarded_server(config: Any, session: GuardedSession) -> Any:
    if config.get("type") != "sdk":
        return config
    server = copy.copy(config["instance"])
    entry = server.get_request_handler(_TOOLS_CALL)
    if entry is None:
        return config

    async def called(context: Any, params: types.CallToolRequestParams) -> Any:
        meta = cast("Mapping[str, Any]", params.meta or {})
        try:
            return await session.within(meta.get(_TOOL_USE), lambda: entry.handler(context, params))
        except Refused as refused:
            told = {"content": [{"type": "text", "text": str(refused)}], "isError": True}
            return types.CallToolResult.model_validate(told)

    # The copy has handlers of its own; the caller's server stays as it was.
    server._request_handlers = dict(server._request_handlers)
    server.add_request_handler(_TOOLS_CALL, entry.params_type, called)
    return {**config, "instance": server}
