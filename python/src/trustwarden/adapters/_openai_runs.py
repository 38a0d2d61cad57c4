"""Which run of the OpenAI Agents SDK is which of ours.

The SDK has no object for a run that its hooks and tools all see; what they share, and no other run does, is the record
of approvals in their contexts. A resumed run has a copy of it, and is known by the call that waited.
"""

from __future__ import annotations

import asyncio
import weakref
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from agents import RunContextWrapper

from ..errors import fail
from ._agent_run import AgentRun, AgentSpec, current_run
from ._approvals import Question
from ._core import Guard, Refused

inside_call: ContextVar[object] = ContextVar("trustwarden_openai_call", default=None)
"""The tool call that this code is inside of; runs that it starts end with it."""


@dataclass(eq=False)
class Record:
    """One run of the SDK: its agents so far, by name."""

    contexts: list[weakref.ref[RunContextWrapper[Any]]]
    """All of them dead: the run is over, whatever came of it."""
    approvals: object
    """What the SDK shares among the contexts of one run, and of no other; kept so that its id stays its own."""
    caller: AgentRun | None
    call: object
    """The tool call of the caller that it is inside of."""
    agents: dict[str, tuple[AgentSpec, AgentRun]] = field(default_factory=dict[str, "tuple[AgentSpec, AgentRun]"])
    latest: AgentRun | None = None
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """The SDK may ask twice at once; an agent starts once."""

    @property
    def is_waiting(self) -> bool:
        return any(run.is_waiting for _, run in self.agents.values())


class Runs:
    """Which of the SDK's runs is which of ours."""

    def __init__(self, guard: Guard, root: AgentSpec) -> None:
        self.guard = guard
        self.root = root
        self._records: dict[int, Record] = {}

    async def of_call(self, spec: AgentSpec, context: RunContextWrapper[Any], call_id: str, tool: str) -> AgentRun:
        """The run that a call belongs to. Raises `Refused` for one that belongs to none."""
        if id(_approvals_of(context)) in self._records or self._waiting_for(call_id) is not None:
            return await self.find(spec, context, call_id)
        run = current_run()
        if run is None:
            raise Refused(fail("agent_missing", {"reason": "see acting_as()"}), tool)
        return run if run.is_direct else await self.find(spec, context, call_id)

    async def find(self, spec: AgentSpec, context: RunContextWrapper[Any], call_id: str | None = None) -> AgentRun:
        """The run of this agent, started when it is not yet: as a child of the agent that was at work before it."""
        record = self._record(context, call_id)
        async with record.starting:
            known = record.agents.get(spec.name)
            if known is None:
                known = (spec, await self._start(spec, record))
                record.agents[spec.name] = known
            record.latest = known[1]
            return known[1]

    def question(self, call_id: str) -> Question | None:
        """What a call waits for."""
        waiting = [
            run.questions.find(call_id) for record in self._records.values() for _, run in record.agents.values()
        ]
        return next((question for question in waiting if question is not None), None)

    async def end(self, context: RunContextWrapper[Any]) -> None:
        """The run has its result."""
        record = self._records.get(id(_approvals_of(context)))
        if record is not None:
            await self._close(record)

    async def end_inside(self, call: object) -> None:
        """Ends the runs that a tool call started, unless they wait."""
        for record in [known for known in self._records.values() if known.call is call]:
            if not record.is_waiting:
                await self._close(record)

    async def _start(self, spec: AgentSpec, record: Record) -> AgentRun:
        await self._sweep()
        return await self.guard.aopen_below(record.latest or record.caller, spec, self.root)

    def _record(self, context: RunContextWrapper[Any], call_id: str | None) -> Record:
        approvals = _approvals_of(context)
        known = self._records.get(id(approvals))
        # A resumed run has a context of its own; what it goes on with is known by the call that waited.
        waiting = None if call_id is None or _is_asked(known, call_id) else self._waiting_for(call_id)
        record = waiting or known or Record([], approvals, current_run(), inside_call.get())
        if waiting is not None:
            self._records.pop(id(waiting.approvals), None)
            waiting.approvals, waiting.contexts = approvals, [] if known is None else known.contexts
        if all(seen() is not context for seen in record.contexts):
            record.contexts = [weakref.ref(context), *(seen for seen in record.contexts if seen() is not None)]
        self._records[id(approvals)] = record
        return record

    def _waiting_for(self, call_id: str) -> Record | None:
        return next((record for record in self._records.values() if _is_asked(record, call_id)), None)

    async def _sweep(self) -> None:
        """Ends what a failed run left behind: nobody holds its context any more."""
        for record in list(self._records.values()):
            if all(seen() is None for seen in record.contexts) and not record.is_waiting:
                await self._close(record)

    async def _close(self, record: Record) -> None:
        self._records.pop(id(record.approvals), None)
        for spec, run in reversed(list(record.agents.values())):
            await self.guard.aclose(spec, run)


def _is_asked(record: Record | None, call_id: str) -> bool:
    return record is not None and any(run.questions.is_open(call_id) for _, run in record.agents.values())


def _approvals_of(context: RunContextWrapper[Any]) -> object:
    return context._approvals  # pyright: ignore[reportPrivateUsage]
