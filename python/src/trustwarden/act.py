"""`act`: an action inside the agent's own process, decided by the server before and reported after.

Nobody but the agent stands between the decision and the act, so this binds an honest agent only; the ledger says so
(`enforcement: self`), class A is refused, and no service accepts such a receipt as permission.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, TypeVar, cast

import anyio

from ._bytes import encode_base64url
from ._json import JsonObject
from ._threads import in_thread
from .answers import DecisionAnswer, parse_decision
from .approvals import refusal_of
from .errors import TrustWardenError, fail
from .models import KeptReceipt
from .outcomes import Status, issue_outcome
from .receipts import OpenedReceipt, VerifiedReceipt, open_receipt
from .runtime import monotonic
from .server import ServerCall, encode_body
from .session import AgentSession, Asked, SignedAction, kept_receipt_of

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_DECISION_LASTS_SECONDS = 0.7
"""The process holds no lease of its own; a decision is worth as long as one lease, counted from asking."""


@dataclass(frozen=True)
class SelfAction:
    """What is to be done, in the words of the policy."""

    action: str
    resource: str
    params: JsonObject | None = None
    approval: str | None = None
    job: str | None = None


@dataclass(frozen=True)
class _Permit:
    signed: SignedAction
    verified: VerifiedReceipt
    asked_at: float
    release: Callable[[], None]


class Action:
    """One action of an agent: a context manager, an async one, and a decorator.

    Entering asks and waits; the body runs only when the answer is yes and fresh. Leaving reports what came of it. As a
    decorator each call is an action of its own. One object is entered once.
    """

    def __init__(self, session: AgentSession, wanted: SelfAction) -> None:
        self._session = session
        self._wanted = wanted
        self._permit: _Permit | None = None
        self._is_entered = False

    @property
    def action(self) -> str:
        """Such as `write:reports`."""
        return self._wanted.action

    @property
    def resource(self) -> str:
        """Such as `file://reports/q3`."""
        return self._wanted.resource

    @property
    def params(self) -> JsonObject | None:
        """Only a salted commitment of them leaves the process."""
        return self._wanted.params

    @property
    def receipt(self) -> KeptReceipt:
        """The proven decision; there is one from entering on."""
        if self._permit is None:
            raise RuntimeError("the action has not been entered")
        return kept_receipt_of(self._permit.signed, self._permit.verified)

    def __enter__(self) -> Action:
        """Asks. Raises `DeniedError`, `ApprovalRequiredError`, `lease_expired`, `server_unreachable`, ..."""
        if self._is_entered:
            raise RuntimeError("an action is entered once; ask again for another")
        self._is_entered = True
        self._permit = _ask(self._session, self._wanted)
        try:
            _require_fresh(self._permit.asked_at)
        except TrustWardenError as error:
            _report(self._session, self._permit, error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._permit is not None:
            _report(self._session, self._permit, error)

    async def __aenter__(self) -> Action:
        """As `__enter__`, off the event loop; the answer's age is looked at again on it."""
        await in_thread(self.__enter__, discard=lambda _: self.__exit__(GeneratorExit, GeneratorExit(), None))
        permit = self._permit
        if permit is None:
            raise RuntimeError("an entered action has a permit")
        try:
            _require_fresh(permit.asked_at)
        except TrustWardenError as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What was done is reported also when whoever did it is cancelled.
        with anyio.CancelScope(shield=True):
            await in_thread(lambda: self.__exit__(kind, error, trace))

    def __call__(self, function: F) -> F:
        """Guards each call of a function, sync or async; each is an action of its own.

        Of a generator the action lasts from the first part that is asked for to its end; nothing is sent into it. What
        only makes work for later, such as a plain function that gives a coroutine, raises `TypeError`, undone.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            return cast("F", self._guarded_parts(function))
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                async with Action(self._session, replace(self._wanted)):
                    return await cast("Awaitable[Any]", function(*args, **kwargs))

            return cast("F", guarded_async)

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with Action(self._session, replace(self._wanted)):
                return _require_done(function(*args, **kwargs))

        return cast("F", guarded)

    def _guarded_parts(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def guarded(*args: Any, **kwargs: Any) -> Generator[Any]:
                with Action(self._session, replace(self._wanted)):
                    yield from function(*args, **kwargs)

            return guarded

        @functools.wraps(function)
        async def guarded_async(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            async with Action(self._session, replace(self._wanted)), aclosing(function(*args, **kwargs)) as parts:
                async for part in parts:
                    yield part

        return guarded_async


def _require_done(result: T) -> T:
    """Refuses what has not happened yet: it would happen after the act, decided for long ago or not at all."""
    if not (inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result)):
        return result
    if inspect.iscoroutine(result):
        result.close()
    raise TypeError("a guarded function does its work before it returns; guard the one that does it")


def _ask(session: AgentSession, wanted: SelfAction) -> _Permit:
    release = session.outcomes.reserve()
    try:
        signed, answer, opened, asked_at = session.server.with_server_id(
            lambda audience: _ask_in_time(session, wanted, audience)
        )
        verified = session.keep_receipt(opened, signed, "self")
        _require_proven(answer, verified, signed)
        session.questions.require_answered(signed, verified)
        decision = verified.decision
        if not decision.allow:
            raise fail(refusal_of(decision.reasons), {"reasons": decision.reasons})
    except BaseException:
        release()
        raise
    return _Permit(signed, verified, asked_at, release)


def _ask_in_time(
    session: AgentSession, wanted: SelfAction, audience: str
) -> tuple[SignedAction, DecisionAnswer, OpenedReceipt, float]:
    asked_at = monotonic()
    signed = session.sign(Asked(wanted.action, wanted.resource, audience, wanted.params, wanted.job))
    body: dict[str, Any] = {
        "intent": signed.intent.envelope,
        "svid_chain": [encode_base64url(der) for der in signed.credential.svid_chain],
    }
    if wanted.approval is not None:
        parameters: JsonObject = {"kind": "params", "params": wanted.params}
        body["approval"] = {"id": wanted.approval, "parameters": parameters, "salt": signed.params_salt or ""}
    call = ServerCall("POST", "/v1/decisions", encode_body(body), timeout=_DECISION_LASTS_SECONDS)
    try:
        answer = parse_decision(session.server.call(call, signed.credential.server_pool))
    except TrustWardenError as error:
        if str(error.details.get("reason")).endswith("timeout"):
            raise fail("lease_expired", {"reason": "no decision in time"}) from error
        raise
    return signed, answer, open_receipt(answer.receipt), asked_at


def _require_proven(answer: DecisionAnswer, verified: VerifiedReceipt, signed: SignedAction) -> None:
    """Refuses an answer that says something else beside its receipt than the signed record in it."""
    record = verified.decision
    is_same = (
        answer.allow is record.allow
        and answer.epoch == record.lease_epoch
        and answer.enforcement == record.enforcement
        and answer.action_class == record.action_class
        and answer.spiffe_id == signed.credential.svid.id
        and answer.chain == record.chain
    )
    if not is_same:
        raise fail("receipt_invalid", {"reason": "answer differs from its record"})


def _require_fresh(asked_at: float) -> None:
    elapsed = monotonic() - asked_at
    if not elapsed < _DECISION_LASTS_SECONDS:
        raise fail("lease_expired", {"elapsed_ms": round(elapsed * 1000)})


def _report(session: AgentSession, permit: _Permit, error: BaseException | None) -> None:
    credential = permit.signed.credential
    try:
        outcome = issue_outcome(
            permit.verified.receipt,
            _status_of(error, is_stopped=session.is_stopped),
            credential.key,
            credential.svid.leaf.sha256,
            seconds=monotonic() - permit.asked_at,
        )
        session.outcomes.report(outcome)
    finally:
        permit.release()


def _status_of(error: BaseException | None, *, is_stopped: bool) -> Status:
    if error is None:
        return "success"
    # Its connections are cut and its questions refused: that is how a stop ends an act, whatever it raised then.
    if is_stopped:
        return "aborted"
    # Whoever went away, or was cut off, got a part of it: that is neither a success nor a refusal.
    is_cut = isinstance(error, TrustWardenError) and error.code in ("call_aborted", "call_cut")
    return "aborted" if is_cut or not isinstance(error, Exception) else "failure"
