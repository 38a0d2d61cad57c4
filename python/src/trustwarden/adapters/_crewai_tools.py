"""Tools of CrewAI: one guard at the place where every way of calling a tool ends.

That is the function of a `Tool`, and `_run` and `_arun` of any other one. A refusal is a `ToolFailure`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from crewai.tools import BaseTool
from crewai.tools.agent_tools.base_agent_tools import BaseAgentTool
from crewai.tools.base_tool import Tool
from crewai.tools.tool_failure import ToolFailure
from crewai.utilities.string_utils import sanitize_tool_name

from ._agent_run import RunEnded
from ._core import Guard, Refused, refusal_in
from ._turns import adecided, current_turn, decided, note_end, turn_body

_GUARD = "__trustwarden_guard__"


class _Unregistered:
    """CrewAI keeps a list of tool classes by name, for restoring; a guarded one takes nobody's place in it."""

    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None:
        """Does not tell CrewAI."""


def tool_name_of(tool: BaseTool) -> str:
    """As the model sees it."""
    return sanitize_tool_name(tool.name)


def is_guarded(tool: object) -> bool:
    """Whether every call of this tool is decided."""
    return getattr(type(tool), _GUARD, None) is not None


def require_guardable_tool(tool: object) -> None:
    """Raises `ValueError` for a tool that has ways of its own."""
    kind, named = cast("type[Any]", type(cast("Any", tool))), cast("Any", tool)
    base = cast("Any", Tool if issubclass(kind, Tool) else BaseTool)
    own = ("run", "arun", "to_structured_tool", *(("_run", "_arun") if base is Tool else ()))
    found = cast("Any", kind)
    if not issubclass(kind, BaseTool) or any(getattr(found, way) is not getattr(base, way) for way in own):
        raise ValueError(f"the tool '{getattr(named, 'name', 'of yours')}' has ways of its own; let it answer _run")


def guard_tool(tool: BaseTool, guard: Guard) -> None:
    """Guards each call of a tool that is guardable and not guarded."""
    original, name = cast("Any", type(tool)), tool_name_of(tool)
    members: dict[str, object] = {}
    if isinstance(tool, Tool):
        kept = cast("Tool[Any, Any]", tool)
        kept.func = _guarded(guard, name, kept.func)
    else:
        for way in ("_run", "_arun"):
            members[way] = _guarded(guard, name, getattr(original, way), skip=1)
    if isinstance(tool, BaseAgentTool):
        members["_execute"] = _delegating(original._execute)
    named = {"__module__": original.__module__, "__qualname__": original.__qualname__}
    tool.__class__ = type(original.__name__, (_Unregistered, original), {**members, **named, _GUARD: guard})
    # What was cached would be given without a decision, and to whoever asks.
    tool.cache_function = _never


_asked: ContextVar[list[Exception] | None] = ContextVar("trustwarden_crewai_asked", default=None)
"""Set where a coworker is asked; what its turn ended with is put there, since CrewAI makes a text of it."""


@contextmanager
def as_asked() -> Generator[bool]:
    """Around a turn: whether a coworker asked for it; what it ends with is kept for the one who asked."""
    asked = _asked.get()
    token = _asked.set(None)
    try:
        yield asked is not None
    except Exception as error:
        if asked is not None:
            asked.append(error)
        raise
    finally:
        _asked.reset(token)


def _delegating(function: Callable[..., str]) -> Callable[..., str]:
    """What TrustWarden refused to the coworker is a refusal of the asking, and not its answer."""

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> str:
        ends: list[Exception] = []
        token = _asked.set(ends)
        try:
            answer = function(*args, **options)
        finally:
            _asked.reset(token)
        for error in ends:
            if refusal_in(error) is not None:
                raise error
        return answer

    return called


def _never(_args: Any = None, _result: Any = None) -> bool:
    return False


def _guarded(guard: Guard, name: str, function: Callable[..., Any], skip: int = 0) -> Callable[..., Any]:
    """The function with the decision before it and the outcome after it; `skip` is 1 where it has a `self`."""

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        with _Told() as told:
            call = decided(guard, name, _bound(function, args, options, skip))
            with call, turn_body(guard, name):
                return _require_done(function(*args, **options))
        return told.failure

    @functools.wraps(function)
    async def acalled(*args: Any, **options: Any) -> Any:
        with _Told() as told:
            call = await adecided(guard, name, _bound(function, args, options, skip))
            async with call:
                with turn_body(guard, name):
                    return await function(*args, **options)
        return told.failure

    return acalled if inspect.iscoroutinefunction(function) else called


class _Told:
    """Around a call: what was refused is told to the agent; the end of its turn is for the adapter to see."""

    failure: ToolFailure | None = None

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, RunEnded):
            note_end(error)
            if current_turn() is None:
                return False
        elif not isinstance(error, Refused):
            return False
        self.failure = ToolFailure(message=str(error), details={"trustwarden": _code_of(error)})
        return True


def _code_of(error: Refused | RunEnded) -> str:
    return error.error.code if isinstance(error, Refused) else error.code


def _require_done(result: Any) -> Any:
    """A plain function that gives a coroutine has not done its work: the outcome would be of nothing."""
    if not inspect.isawaitable(result):
        return result
    if inspect.iscoroutine(result):
        result.close()
    raise TypeError("a tool's function that is not async gave something to wait for; make it async")


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any], skip: int
) -> dict[str, object]:
    """The arguments by name, as the function gets them."""
    signature = inspect.signature(function)
    found: dict[str, object] = {}
    for name, value in signature.bind(*args, **options).arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            found.update({f"arg{index}": each for index, each in enumerate(value)})
        else:
            found[name] = value
    for name in list(signature.parameters)[:skip]:
        found.pop(name, None)
    return found
