"""What the adapters of all frameworks share: the guard of one `protect`, and the guarded call.

The first run of an agent acts with the identity that the program was given; a run inside another's tool call is a
sub-agent, gets an identity of its own as a child of the caller's, and loses it when it is over.

An adapter finds the places where its framework starts agents and calls tools, and speaks its framework's words for a
refusal and for a pause. It decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import TypeVar

from ..act import Action
from ..errors import ApprovalRequiredError, TrustWardenError, fail
from ..identity import AgentIdentity
from ._agent_run import AgentRun, AgentSpec, RunEnded, current_run
from ._approvals import Question
from ._cut import Cut
from ._mapping import ActionOf, Args, ToolMapping, Unmapped, to_params
from ._names import child_name

T = TypeVar("T")

MAX_CAUSES = 16
MAX_HELD_RUNS = 1024
"""Runs that wait for a human; the oldest gives way."""
_ENDED = frozenset({"ancestor_dead", "identity_closed", "identity_expired", "identity_revoked"})
"""Refusals of who calls and not of what: no other call would fare better, so the run ends."""
_NOT_AUTHENTICATED = 401
MAX_ATTEMPTS = 3
"""Of asking about one call: a decision that came too late has allowed nothing and is asked for again."""


class Refused(Exception):  # noqa: N818 - it is the agent's to read, as the framework's own tool error
    """The call was not made; the agent may go on."""

    def __init__(self, error: TrustWardenError, tool: str) -> None:
        super().__init__(
            f"TrustWarden refused '{tool}' ({error.code}); it was not done. Do not repeat this call, go on without it."
        )
        self.error = error


class Waiting(Exception):  # noqa: N818 - control flow, turned into the framework's own pause
    """The call waits for a human; nothing was done."""

    def __init__(self, question: Question) -> None:
        super().__init__(f"'{question.action}' waits for approval {question.request}")
        self.question = question


class Guard:
    """What `protect` was told: whose agents these are, which action each tool is, and what each sub-agent may do."""

    def __init__(
        self,
        identity: AgentIdentity | None,
        *,
        actions: Mapping[str, ActionOf] | None = None,
        scopes: Mapping[str, Sequence[str]] | None = None,
        unmapped: Unmapped = "use",
        ttl: str | None = None,
        approval_timeout: float = 60.0,
        pauses: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.identity = identity
        self.pauses = pauses
        """What a framework raises to wait for somebody: neither a success nor a failure of the call it passes."""
        self.mapping = ToolMapping(dict(actions or {}), unmapped)
        self.approval_timeout = approval_timeout
        self._scopes = {name: tuple(scope) for name, scope in (scopes or {}).items()}
        self._ttl = ttl
        self._root: AgentSpec | None = None
        self._waiting: dict[tuple[str, str], AgentRun] = {}

    def spec_of(self, name: str, tools: Sequence[str]) -> AgentSpec:
        """What a sub-agent may do: as named, otherwise what its tools and those of the agents below it need.

        Raises `scope_malformed` where only a call can tell what a tool needs.
        """
        named = self._scopes.get(name)
        return AgentSpec(name, tuple(self.mapping.scope_of(tools)) if named is None else named)

    def root_spec_of(self, name: str, tools: Sequence[str]) -> AgentSpec:
        """The same for the agent that was protected, should another one call it; nothing where it cannot be told."""
        try:
            self._root = self.spec_of(name, tools)
        except TrustWardenError:
            # Safe to go on: as the top agent it has the scope of its identity, and below another one it has none.
            self._root = AgentSpec(name, ())
        return self._root

    def open(self, spec: AgentSpec, *keys: str) -> AgentRun:
        """Starts a run, or goes on with one that waits under one of these keys. Raises as `AgentIdentity.spawn`."""
        caller = self._caller_of(spec)
        run = self._resumed(spec, caller, keys)
        if run is not None:
            return run
        if caller is None:
            return self._top()
        child = caller.identity.spawn(name=child_name(caller.identity.name, spec.name), scope=spec.scope, ttl=self._ttl)
        return AgentRun(child, caller, is_owned=True)

    async def aopen(self, spec: AgentSpec, *keys: str) -> AgentRun:
        """As `open`, off the event loop."""
        caller = self._caller_of(spec)
        run = self._resumed(spec, caller, keys)
        if run is not None:
            return run
        if caller is None:
            return self._top()
        name = child_name(caller.identity.name, spec.name)
        child = await caller.identity.aspawn(name=name, scope=spec.scope, ttl=self._ttl)
        return AgentRun(child, caller, is_owned=True)

    async def aopen_below(self, caller: AgentRun | None, spec: AgentSpec, root: AgentSpec) -> AgentRun:
        """Starts a run as the child of a caller; without one, of a run of `root`, unless it is that."""
        if caller is None:
            caller = await self.aopen(root)
            if spec is root:
                return caller
        with caller.step():
            return await self.aopen(spec)

    def close(self, spec: AgentSpec, run: AgentRun, key: str | None = None) -> None:
        """Ends a run and its identity, unless it waits for a human and can be found again."""
        if self._keep(spec, run, key) or not run.is_owned:
            return
        try:
            run.identity.revoke("run ended")
        except TrustWardenError:
            # Safe to go on: without its key the identity can do nothing more, and it ends with its lifetime.
            run.identity.close()

    async def aclose(self, spec: AgentSpec, run: AgentRun, key: str | None = None) -> None:
        """As `close`, off the event loop."""
        if self._keep(spec, run, key) or not run.is_owned:
            return
        try:
            await run.identity.arevoke("run ended")
        except TrustWardenError:
            # Safe to go on: as in `close`.
            await run.identity.aclose()

    def call(self, tool: str, args: Args, key: str) -> ToolCall:
        """One tool call of the current run; `key` is the framework's id of the call, the same when it is resumed."""
        return ToolCall(self, tool, args, key)

    def _caller_of(self, spec: AgentSpec) -> AgentRun | None:
        """Whose child this run is; None for the top agent's own.

        A sub-agent that runs by itself, as in a bare thread of a tool, is the top agent's child and not the top agent.
        """
        caller = current_run()
        return self._top() if caller is None and spec is not self._root else caller

    def _top(self) -> AgentRun:
        if self.identity is None:
            raise fail("agent_missing", {"reason": "none was given to protect()"})
        return AgentRun(self.identity, None, is_owned=False)

    def _resumed(self, spec: AgentSpec, caller: AgentRun | None, keys: Sequence[str]) -> AgentRun | None:
        """What waits under a key is its own caller's, whoever else names that key."""
        held = [self._waiting.get((spec.name, key)) for key in keys]
        mine = [run for run in held if run is not None and _is_of(run, caller)]
        for run in mine:
            self._forget(run)
            if run.parent is not None:
                run.parent.waiting_children.discard(run)
        return mine[0] if mine else None

    def _forget(self, run: AgentRun) -> None:
        for name in [name for name, held in self._waiting.items() if held is run]:
            del self._waiting[name]

    def _keep(self, spec: AgentSpec, run: AgentRun, key: str | None) -> bool:
        if key is None or not run.is_waiting:
            return False
        if run.parent is not None:
            run.parent.waiting_children.add(run)
        # Its questions may be answered in any order, and each of them finds it.
        for each in {key, *run.questions.keys()}:
            self._waiting[(spec.name, each)] = run
        if len(set(self._waiting.values())) > MAX_HELD_RUNS:
            oldest = next(iter(self._waiting.values()))
            self._forget(oldest)
            if oldest.is_owned:
                oldest.identity.close()
        return True


class _AnswerFailedError(Exception):
    """What the ledger is told of an answer that calls itself a failure."""


class ToolCall:
    """The decision before a tool's body and the outcome after it: `with call.decided()`, `async with` for `adecided`.

    Deciding raises `Refused`, `Waiting` or `RunEnded`. What a sub-agent's run ends with is a failure of the call that
    started it, see `body_of`.
    """

    def __init__(self, guard: Guard, tool: str, args: Args, key: str) -> None:
        self._guard = guard
        self._tool = tool
        self._args = args
        self._key = key
        self._action: Action | None = None
        self._cut: Cut | None = None
        self._answer_failed = False

    def decided(self) -> ToolCall:
        """Asks, and waits for the answer; then use the call as a context manager around the tool's body."""
        run = _acting(self._tool)
        self._cut = Cut(run)
        with self._refusals(run):
            approval = run.questions.answer(self._key, self._guard.approval_timeout)
            for left in self._attempts(approval):
                action = self._prepared(run, approval)
                with _unless_late(left):
                    action.__enter__()
                    self._action = action
                    break
        return self

    async def adecided(self) -> ToolCall:
        """As `decided`, off the event loop."""
        run = _acting(self._tool)
        self._cut = Cut(run)
        with self._refusals(run):
            approval = await run.questions.aanswer(self._key, self._guard.approval_timeout)
            for left in self._attempts(approval):
                action = self._prepared(run, approval)
                with _unless_late(left):
                    await action.__aenter__()
                    self._action = action
                    break
        return self

    @staticmethod
    def _attempts(approval: str | None) -> range:
        """How many more may follow each; an approval is worth one."""
        return range(MAX_ATTEMPTS - 1 if approval is None else 0, -1, -1)

    def __enter__(self) -> ToolCall:
        self._watched().begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = self._ended(kind, error, trace)
        self._required_action().__exit__(*self._outcome(kind, error, ended), trace)
        if ended is not None:
            raise ended from error

    async def __aenter__(self) -> ToolCall:
        self._watched().begin_scope()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = self._ended(kind, error, trace)
        await self._required_action().__aexit__(*self._outcome(kind, error, ended), trace)
        if ended is not None:
            raise ended from error

    def answered(self, answer: T) -> T:
        """The body's answer. One that calls itself a failure, as a tool of an MCP server may, is one in the ledger."""
        said = (answer, getattr(answer, "raw_output", None))
        self._answer_failed = any(
            getattr(each, name, None) is True for each in said for name in ("is_error", "isError")
        )
        return answer

    @asynccontextmanager
    async def in_parts(self) -> AsyncGenerator[ToolCall]:
        """Instead of `async with` around a body that gives its result in parts: it is refused, not cancelled."""
        self._watched().begin()
        try:
            yield self
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        await self.__aexit__(None, None, None)

    def _watched(self) -> Cut:
        self._required_action()
        if self._cut is None:
            raise RuntimeError("a call that is decided has a run to watch over")
        return self._cut

    def _ended(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> RunEnded | None:
        # A call that was decided and never made has nothing to end.
        return None if self._cut is None else self._cut.end(kind, error, trace)

    def _outcome(
        self, kind: type[BaseException] | None, error: BaseException | None, ended: RunEnded | None
    ) -> tuple[type[BaseException] | None, BaseException | None]:
        if ended is not None:
            cut = fail("call_cut", {"reason": "the agent was stopped"})
            return type(cut), cut
        if error is None and self._answer_failed:
            return _AnswerFailedError, _AnswerFailedError()
        if not isinstance(error, self._guard.pauses):
            return kind, error
        aborted = fail("call_aborted", {"reason": "the run pauses"})
        return type(aborted), aborted

    def _required_action(self) -> Action:
        if self._action is None:
            raise RuntimeError("a tool's body may not run before its call is decided")
        return self._action

    def _prepared(self, run: AgentRun, approval: str | None) -> Action:
        named = self._guard.mapping.action_of(self._tool, self._args)
        resource = named.resource or f"tool:{self._tool}"
        return run.identity.act(named.action, resource, to_params(self._args), approval=approval)

    @contextmanager
    def _refusals(self, run: AgentRun) -> Generator[None]:
        asked = run.questions.is_open(self._key)
        try:
            yield
        except ApprovalRequiredError as error:
            if asked or not error.request:
                raise Refused(error, self._tool) from error
            named = self._guard.mapping.action_of(self._tool, self._args)
            question = Question(
                request=error.request,
                agent=run.identity.id,
                tool=self._tool,
                action=named.action,
                resource=named.resource or "",
                args=to_params(self._args),
            )
            run.questions.ask(self._key, question, run.identity)
            raise Waiting(question) from error
        except TrustWardenError as error:
            if error.code in _ENDED or error.status == _NOT_AUTHENTICATED:
                raise RunEnded(error, run) from error
            raise Refused(error, self._tool) from error


@contextmanager
def body_of(guard: Guard, tool: str) -> Generator[None]:
    """Around the body of a tool: what TrustWarden refused to a sub-agent in it is a failure of this call.

    Raises `Refused` for that, and `RunEnded` again when it is about the agent itself.
    """
    try:
        yield
    except Exception as error:
        found = None if isinstance(error, guard.pauses) else refusal_in(error)
        if found is None:
            raise
        if isinstance(found, RunEnded) and found.run is current_run():
            raise found from error
        raise Refused(found, tool) from error


def refusal_in(error: BaseException) -> TrustWardenError | None:
    """What TrustWarden said in an error: frameworks wrap what a run ends with, and say so by its cause."""
    found: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if found is None or isinstance(found, TrustWardenError):
            return found
        found = found.__cause__
    return None


@contextmanager
def _unless_late(attempts_left: int) -> Generator[None]:
    try:
        yield
    except TrustWardenError as error:
        if error.code != "lease_expired" or attempts_left == 0:
            raise


def _is_of(run: AgentRun, caller: AgentRun | None) -> bool:
    """Whether a run is this caller's, which may have begun anew meanwhile, with the same identity."""
    mine = None if caller is None else caller.identity
    return (None if run.parent is None else run.parent.identity) is mine


def _acting(tool: str) -> AgentRun:
    run = current_run()
    if run is None:
        error = fail("agent_missing", {"reason": "see acting_as()"})
        raise Refused(error, tool)
    return run
