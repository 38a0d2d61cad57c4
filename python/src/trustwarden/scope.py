"""Scopes, lifetimes and names as callers write them, in the one spelling that is signed.

`verb:type[:path]`; `*` stands for one whole word or segment, `**` for zero or more segments and only at the end.
Because the words are unbounded and `*` never stands before `**`, an atom is covered by a union only when one atom
covers it alone. See ARCHITECTURE.md, "Scope grammar". Whether a child's scope is within its parent's is the server's
to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from ._bytes import count_units
from .errors import TrustWardenError, fail

_MAX_ATOM_CHARS = 256
_MAX_ATOMS = 64
_MAX_ACTION_CHARS = 1024
_MAX_PATH_SEGMENTS = 8
_MAX_PATH_CHARS = 255
_RESERVED_PREFIX = "trustwarden"
_WORD = r"[a-z][a-z0-9_-]*"
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.-]+"
_ATOM_WORD = rf"(?:\*|{_WORD})"
_ATOM_SEGMENT = rf"(?:\*|{_SEGMENT})"
_PATH = rf"(?:\*\*|{_ATOM_SEGMENT}(?:/{_ATOM_SEGMENT})*(?:(?<!\*)/\*\*)?)"
_ATOM = re.compile(rf"{_ATOM_WORD}:{_ATOM_WORD}(?::{_PATH})?")
_ACTION = re.compile(rf"{_WORD}:{_WORD}(?::{_SEGMENT}(?:/{_SEGMENT})*)?")
_TTL = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TOO_LONG_SECONDS = 315_360_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def parse_scope(atoms: Sequence[str]) -> tuple[str, ...]:
    """A scope in canonical form: sorted, deduplicated, covered atoms removed. Raises `scope_malformed`."""
    if isinstance(atoms, (str, bytes)) or not isinstance(cast("object", atoms), Sequence):
        raise fail("scope_malformed", {"reason": "not a list"})
    if len(atoms) > _MAX_ATOMS:
        raise fail("scope_malformed", {"atoms": len(atoms), "max_atoms": _MAX_ATOMS})
    distinct = sorted({_parse_atom(atom) for atom in atoms})
    return tuple(atom for atom in distinct if not any(other != atom and covers(other, atom) for other in distinct))


def covers(parent: str, child: str) -> bool:
    """Whether one canonical atom covers another, or an action."""
    parent_words, parent_path = _split(parent)
    child_words, child_path = _split(child)
    if not all(mine in ("*", theirs) for mine, theirs in zip(parent_words, child_words, strict=True)):
        return False
    if parent_path is None:
        return True
    if child_path is None:
        return False
    return _covers_path(parent_path, child_path)


def parse_action(text: str) -> str:
    """An action's name: a wildcard-free atom. Raises `action_malformed`."""
    if not isinstance(cast("object", text), str) or len(text) > _MAX_ACTION_CHARS or _ACTION.fullmatch(text) is None:
        raise fail("action_malformed")
    return text


def parse_ttl(text: str) -> int:
    """Seconds of a lifetime such as `30s`, `10m`, `1h` or `7d`. Raises `ttl_malformed`."""
    match = _TTL.fullmatch(text) if isinstance(cast("object", text), str) else None
    seconds = int(match[1]) * _SECONDS_OF[match[2]] if match else 0
    if not 0 < seconds < _TOO_LONG_SECONDS:
        raise fail("ttl_malformed")
    return seconds


def parse_name(text: str) -> str:
    """An agent's name. Raises `name_malformed`."""
    is_name = isinstance(cast("object", text), str) and _NAME.fullmatch(text) is not None
    if not is_name or text.startswith("inst-"):
        raise fail("name_malformed", {"reason": "segment"})
    return text


def parse_label(path: str, name: str) -> None:
    """Requires an agent's place, segments joined by `/` or none, and its name. Raises `name_malformed`."""
    segments = [*(path.split("/") if path else ()), name]
    if count_units(path) > _MAX_PATH_CHARS or len(segments) > _MAX_PATH_SEGMENTS + 1:
        raise fail("name_malformed", {"reason": "path too long"})
    for segment in segments:
        parse_name(segment)
    if segments[0].startswith(_RESERVED_PREFIX):
        raise fail("name_malformed", {"reason": "reserved"})


def _parse_atom(text: object) -> str:
    if not isinstance(text, str) or len(text) > _MAX_ATOM_CHARS or _ATOM.fullmatch(text) is None:
        raise _malformed(text)
    verb, kind, *path = text.split(":")
    return f"{verb}:{kind}" if path == ["**"] else text


def _malformed(text: object) -> TrustWardenError:
    return fail("scope_malformed", {"chars": len(text) if isinstance(text, str) else -1})


def _split(atom: str) -> tuple[list[str], list[str] | None]:
    verb, kind, *path = atom.split(":")
    return [verb, kind], path[0].split("/") if path else None


def _covers_path(parent: list[str], child: list[str]) -> bool:
    is_open = parent[-1] == "**"
    fixed = parent[:-1] if is_open else parent
    child_fixed = child[:-1] if child[-1] == "**" else child
    is_child_open = child_fixed is not child
    if is_child_open and not is_open:
        return False
    if len(child_fixed) < len(fixed) or (not is_open and len(child_fixed) != len(fixed)):
        return False
    return all(mine in ("*", theirs) for mine, theirs in zip(fixed, child_fixed, strict=False))


def is_subset(*, parent: Sequence[str], child: Sequence[str]) -> bool:
    """Whether every action that the child may do is one that the parent may do; both in canonical form."""
    return all(any(covers(atom, wanted) for atom in parent) for wanted in child)
