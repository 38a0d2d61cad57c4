"""How a tool call becomes an action: what is asked for in the words of a scope, and the parameters committed to.

Nothing is decided here. An action that no words can be found for is no action: it is refused as malformed.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import hmac
import json
import pathlib
import re
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol, cast, runtime_checkable

from ..errors import fail
from ..models import Json, JsonObject

MAX_DEPTH = 32
"""Of a parameter; the ledger's commitment is over the whole of it."""
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

Args = Mapping[str, object]
"""What the tool is called with, by name, as the tool itself gets it."""


@dataclasses.dataclass(frozen=True)
class ToolAction:
    """What a tool call is, for a policy: `verb:type[:path]`, and what it is done to."""

    action: str
    resource: str | None = None
    """A URI; `tool:<name>` when absent."""


ActionOf = str | ToolAction | Callable[[Args], "str | ToolAction"]
"""One row of a mapping: the action's name, in which `{argument}` stands for an argument of the call, or a function."""
Unmapped = Literal["use", "deny"]
"""What a tool without a row is: `use:tool:<name>`, or refused."""


@dataclasses.dataclass(frozen=True)
class ToolMapping:
    """Which action each tool is."""

    rows: Mapping[str, ActionOf]
    unmapped: Unmapped = "use"

    def action_of(self, tool: str, args: Args) -> ToolAction:
        """The action of one call.

        Raises `action_malformed` when a placeholder has no plain value, and `denied` for a tool without a row where
        those are refused.
        """
        row = self._row(tool)
        named = _named(row(args)) if callable(row) else _with_arguments(_named(row), args)
        return named if named.resource is not None else dataclasses.replace(named, resource=f"tool:{tool}")

    def scope_of(self, tools: Iterable[str]) -> list[str]:
        """What an agent with these tools needs; from a placeholder on, anything below.

        Raises `scope_malformed` for a row that only a call can tell: such an agent's scope has to be named.
        """
        atoms: set[str] = set()
        for tool in tools:
            if tool not in self.rows and self.unmapped == "deny":
                continue
            row = self._row(tool)
            if callable(row):
                raise fail("scope_malformed", {"reason": f"the action of '{tool}' is a function; name the scope"})
            atoms.add(_reach(_named(row).action))
        return sorted(atoms)

    def _row(self, tool: str) -> ActionOf:
        row = self.rows.get(tool)
        if row is not None:
            return row
        if self.unmapped == "deny":
            raise fail("denied", {"reason": f"no action is named for the tool '{tool}'"})
        return f"use:tool:{tool}"


def _named(row: str | ToolAction) -> ToolAction:
    return row if isinstance(row, ToolAction) else ToolAction(row)


def _with_arguments(named: ToolAction, args: Args) -> ToolAction:
    resource = named.resource
    return ToolAction(_filled(named.action, args), None if resource is None else _filled(resource, args))


def _filled(text: str, args: Args) -> str:
    def value(match: re.Match[str]) -> str:
        found = args.get(match.group(1))
        if isinstance(found, bool) or not isinstance(found, (str, int)):
            raise fail("action_malformed", {"reason": f"'{match.group(1)}' is not a plain argument of this call"})
        return str(found)

    return _PLACEHOLDER.sub(value, text)


def _reach(action: str) -> str:
    """The atom that covers every action of a row."""
    before, brace, _ = action.partition("{")
    if not brace:
        return action
    if action.count(":", 0, len(before)) < 2:
        raise fail("scope_malformed", {"reason": f"'{action}' leaves verb or type open; name the scope"})
    return before[: max(before.rfind("/"), before.rfind(":")) + 1] + "**"


@runtime_checkable
class _Model(Protocol):
    def model_dump(self, *, mode: str) -> object: ...


@runtime_checkable
class _Secret(Protocol):
    def get_secret_value(self) -> object: ...


_HIDING_KEY = secrets.token_bytes(32)
"""Of this process: what is hidden tells nobody anything, and is the same for the same value as long as it runs."""


@dataclasses.dataclass(frozen=True)
class _Hidden:
    """A value that its author keeps out of what is written down."""

    value: object


def to_params(args: Args) -> JsonObject:
    """The arguments as JSON, so that the same call is always the same commitment.

    A secret (`SecretStr`), and a field that its pydantic model excludes from what is written down, stand there as a
    keyed digest, which tells nobody anything: with an approval these parameters leave the process.

    Raises `json_malformed` for what has no JSON form: two different calls must not commit to the same bytes.
    """
    return {name: _json(value, MAX_DEPTH) for name, value in args.items()}


def _json(value: object, depth: int) -> Json:
    if depth == 0:
        raise fail("json_malformed", {"reason": "an argument is nested too deeply"})
    if value is None or isinstance(value, (bool, str, int, float)):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, (_Secret, _Hidden)):
        return _digest_of(value, depth)
    plain = _plain(value)
    if isinstance(plain, Mapping):
        members = cast("Mapping[object, object]", plain)
        found = {str(key): _json(member, depth - 1) for key, member in members.items()}
        if len(found) < len(members):
            raise fail("json_malformed", {"reason": "two members of an argument have one name"})
        return found
    if isinstance(plain, (list, tuple)):
        return [_json(item, depth - 1) for item in cast("Sequence[object]", plain)]
    if plain is value:
        raise fail("json_malformed", {"reason": f"an argument of type {type(value).__name__} has no JSON form"})
    return _json(plain, depth - 1)


def _digest_of(value: _Secret | _Hidden, depth: int) -> Json:
    kept = value.value if isinstance(value, _Hidden) else value.get_secret_value()
    text = json.dumps(_json(kept, depth - 1), sort_keys=True)
    return {"hidden": hmac.new(_HIDING_KEY, text.encode(), "sha256").hexdigest()}


def _members_of(model: _Model) -> object:
    """What a pydantic model writes down, its hidden fields hidden, and what may hold others looked into."""
    dumped = model.model_dump(mode="json")
    if not isinstance(dumped, Mapping):
        return getattr(model, "root", dumped)
    found = dict(cast("Mapping[str, object]", dumped))
    fields = cast("Mapping[str, object]", getattr(type(model), "model_fields", {}))
    for name, field in fields.items():
        value = cast("object", getattr(model, name))
        if getattr(field, "exclude", None):
            found[name] = _Hidden(value)
        elif isinstance(value, (_Secret, _Model, Mapping, list, tuple, set, frozenset)):
            found[name] = value
    return found


def _plain(value: object) -> object:
    """One step towards JSON; the value itself where there is none."""
    if isinstance(value, _Model):
        return _members_of(value)
    if hasattr(value, "unicode_string"):
        # A URL of pydantic's.
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal, pathlib.PurePath, datetime.timedelta)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[object]", value), key=repr)
    return value
