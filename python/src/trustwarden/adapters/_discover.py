"""Finding what a function can reach by name: an agent that hides in a tool's closure is a sub-agent all the same.

Looks at closures, defaults, referenced globals, partials, bound objects and plain containers; runs nothing. What a
function makes while it runs is not seen here; where a framework can tell, the adapter refuses it then.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import cast

_CONTAINERS = (list, tuple, set, frozenset)
MAX_OBJECTS = 10_000
"""Of one program's tools; more than that is no program of agents."""


Expand = Callable[[object], "Iterator[object] | None"]
"""The members of a framework's own objects, or None for what it does not know."""


def reachable(root: object, expand: Expand, *, packages: tuple[str, ...]) -> Iterator[object]:
    """Every object of a framework that can be reached from a root, each once, the root first.

    `packages` are the framework's: the globals of its own functions name no agent of anybody's.
    """
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        if len(seen) >= MAX_OBJECTS:
            raise RuntimeError("more objects are reachable from this agent than can be looked at")
        seen[id(found)] = found
        members = expand(found)
        if members is not None:
            yield found
        waiting.extend(members if members is not None else _members(found, packages))


def _members(value: object, packages: tuple[str, ...]) -> Iterator[object]:
    if isinstance(value, _CONTAINERS):
        yield from cast("list[object]", value)
    elif isinstance(value, dict):
        yield from cast("dict[object, object]", value).values()
    elif isinstance(value, functools.partial):
        bound = cast("functools.partial[object]", value)
        yield from (bound.func, bound.args, bound.keywords)
    elif isinstance(value, types.MethodType):
        yield from (value.__func__, getattr(value.__self__, "__dict__", {}))
    elif isinstance(value, types.FunctionType):
        yield from _references(value, packages)


def _references(function: types.FunctionType, packages: tuple[str, ...]) -> Iterator[object]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield getattr(function, "__wrapped__", None)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            # An empty cell names nothing yet.
            continue
    if (function.__module__ or "").partition(".")[0] in packages:
        return
    for name in _names(function.__code__):
        found = function.__globals__.get(name)
        # A module is not followed: everything can be reached from there.
        if not isinstance(found, types.ModuleType):
            yield found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
