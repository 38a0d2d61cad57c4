"""Tool calls that wait for a human: what was asked, and the owner's signed answer when it comes.

The question is put before the owner at once, in the background, so that it is there when the framework pauses. What the
framework is resumed with is no permission: the owner's answer is, and the server holds every call against it.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from ..errors import TrustWardenError, fail
from ..identity import AgentIdentity
from ..models import JsonObject

MAX_QUESTIONS = 16
"""Of one run; the server lets no more wait."""


@dataclass(frozen=True)
class Question:
    """A call that waits, as a human needs to see it."""

    request: str
    """What `warden approvals approve` takes."""
    agent: str
    """SPIFFE ID of the instance that asks."""
    tool: str
    action: str
    resource: str
    args: JsonObject

    def payload(self) -> dict[str, object]:
        """For a framework's own pause."""
        return {
            "type": "trustwarden_approval",
            "request": self.request,
            "agent": self.agent,
            "tool": self.tool,
            "action": self.action,
            "resource": self.resource,
            "args": dict(self.args),
        }


@dataclass(frozen=True)
class _Open:
    question: Question
    answer: Future[str]


class Questions:
    """The open questions of one run, by the framework's id of the call."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._open)

    def keys(self) -> list[str]:
        """Of all calls that wait, the oldest first."""
        return list(self._open)

    def is_open(self, key: str) -> bool:
        """Whether this call waits."""
        return key in self._open

    def first(self) -> str | None:
        """The oldest call that waits."""
        return next(iter(self._open), None)

    def find(self, key: str) -> Question | None:
        """What this call waits for."""
        found = self._open.get(key)
        return None if found is None else found.question

    def ask(self, key: str, question: Question, identity: AgentIdentity) -> None:
        """Puts a question before the owner; the answer is waited for in the background.

        Raises `approvals_pending` when too many wait.
        """
        answer: Future[str] = Future()
        with self._lock:
            if len(self._open) >= MAX_QUESTIONS:
                raise fail("approvals_pending", {"waiting": len(self._open)})
            self._open[key] = _Open(question, answer)
        threading.Thread(target=_wait, args=(identity, question.request, answer), daemon=True).start()

    def drop(self, key: str) -> Question | None:
        """Forgets a question, after a no of the one who resumes."""
        with self._lock:
            found = self._open.pop(key, None)
        return None if found is None else found.question

    def answer(self, key: str, timeout: float) -> str | None:
        """The approval of a call that waited; None for one that did not.

        Raises `approval_denied`, `approval_expired`, and what the wait ended with.
        """
        with self._lock:
            waiting = self._open.pop(key, None)
        if waiting is None:
            return None
        try:
            return waiting.answer.result(timeout)
        except (FutureTimeoutError, TimeoutError) as error:
            raise _too_late(waiting.question) from error

    async def aanswer(self, key: str, timeout: float) -> str | None:
        """As `answer`, off the event loop."""
        with self._lock:
            waiting = self._open.pop(key, None)
        if waiting is None:
            return None
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(waiting.answer)), timeout)
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise _too_late(waiting.question) from error


def _wait(identity: AgentIdentity, request: str, answer: Future[str]) -> None:
    try:
        answer.set_result(identity.wait_for_approval(request))
    except BaseException as error:
        answer.set_exception(error)


def _too_late(question: Question) -> TrustWardenError:
    return fail("approval_expired", {"request": question.request})
