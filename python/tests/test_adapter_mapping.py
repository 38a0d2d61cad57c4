from __future__ import annotations

import datetime
import enum
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from trustwarden import TrustWardenError
from trustwarden.adapters._agent_run import current_identity
from trustwarden.adapters._core import Guard
from trustwarden.adapters._discover import reachable
from trustwarden.adapters._mapping import ActionOf, Args, ToolAction, ToolMapping, to_params
from trustwarden.adapters._names import MAX_NAME_CHARS, child_name


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Place:
    row: int


@dataclass
class Agent:
    """Stands for a framework's object."""

    name: str


def code_of(failed: pytest.ExceptionInfo[TrustWardenError]) -> str:
    return failed.value.code


def read_any(args: Args) -> str:
    return f"read:file:{args['path']}"


def test_a_row_is_filled_in_with_the_calls_own_arguments() -> None:
    mapping = ToolMapping({"read": "read:file:{path}", "pay": ToolAction("send:money:{to}", "bank://{to}")})
    assert mapping.action_of("read", {"path": "a/b"}) == ToolAction("read:file:a/b", "tool:read")
    assert mapping.action_of("pay", {"to": "bob"}) == ToolAction("send:money:bob", "bank://bob")


def test_what_an_argument_says_is_never_filled_in_again() -> None:
    mapping = ToolMapping({"a": "read:file:{path}", "b": read_any})
    for tool in ("a", "b"):
        assert mapping.action_of(tool, {"path": "{other}", "other": "x"}).action == "read:file:{other}"


@pytest.mark.parametrize("value", [None, True, 1.5, ["a"], {"a": "b"}])
def test_a_placeholder_takes_plain_words_and_numbers_only(value: object) -> None:
    with pytest.raises(TrustWardenError) as failed:
        ToolMapping({"read": "read:file:{path}"}).action_of("read", {"path": value})
    assert code_of(failed) == "action_malformed"


def test_a_tool_without_a_row_is_use_tool_or_refused() -> None:
    assert ToolMapping({}).action_of("search", {}).action == "use:tool:search"
    with pytest.raises(TrustWardenError) as failed:
        ToolMapping({}, "deny").action_of("search", {})
    assert code_of(failed) == "denied"


def test_a_scope_covers_what_the_rows_may_become() -> None:
    rows = {"read": "read:file:{path}", "report": "write:reports", "deep": "read:mail:inbox/{id}/parts/{part}"}
    mapping = ToolMapping(rows)
    expected = ["read:file:**", "read:mail:inbox/**", "use:tool:other", "write:reports"]
    assert mapping.scope_of([*rows, "other"]) == expected
    assert ToolMapping(rows, "deny").scope_of(["other"]) == []


@pytest.mark.parametrize("row", ["{verb}:file", "read:{type}", read_any])
def test_a_scope_that_only_a_call_can_tell_has_to_be_named(row: ActionOf) -> None:
    with pytest.raises(TrustWardenError) as failed:
        ToolMapping({"any": row}).scope_of(["any"])
    assert code_of(failed) == "scope_malformed"


def test_arguments_become_json_the_same_way_each_time() -> None:
    args = {
        "colour": Colour.RED,
        "place": Place(1),
        "path": pathlib.PurePosixPath("a/b"),
        "day": datetime.date(2026, 11, 22),
        "bytes": b"\x00",
        "tags": {"b", "a"},
        "pair": (1, None),
    }
    assert to_params(args) == {
        "colour": "red",
        "place": {"row": 1},
        "path": "a/b",
        "day": "2026-11-22",
        "bytes": "AA==",
        "tags": ["a", "b"],
        "pair": [1, None],
    }


def test_an_argument_without_a_json_form_is_refused_and_not_guessed() -> None:
    nested: list[object] = []
    nested.append(nested)
    for value in (object(), nested):
        with pytest.raises(TrustWardenError) as failed:
            to_params({"value": value})
        assert code_of(failed) == "json_malformed"


def test_no_member_of_an_argument_hides_behind_another_of_its_name() -> None:
    assert to_params({"rows": {1: "a", 2: "b"}}) == {"rows": {"1": "a", "2": "b"}}
    with pytest.raises(TrustWardenError) as failed:
        to_params({"rows": {1: "is paid", "1": "is shown"}})
    assert code_of(failed) == "json_malformed"


def test_a_childs_name_is_its_parents_own_and_fits() -> None:
    assert child_name("desk", "My Researcher!") == "desk.my-researcher"
    assert child_name("desk", "…") == "desk.agent"
    long = child_name("desk", "r" * 100)
    assert len(long) == MAX_NAME_CHARS
    assert long != child_name("desk", "r" * 101)


def test_agents_are_found_in_closures_defaults_globals_and_containers() -> None:
    agents = [Agent(name) for name in ("closure", "default", "listed", "inner")]
    closure, default, listed, inner = agents

    def tool(agent: Agent = default) -> object:
        def nested() -> object:
            return inner

        return (closure, agent, nested, GLOBAL)

    def expand(value: object) -> Iterator[object] | None:
        return iter(()) if isinstance(value, Agent) else None

    found = list(reachable({"tool": [tool], "more": (listed,)}, expand, packages=()))
    assert {each.name for each in found if isinstance(each, Agent)} == {
        "closure",
        "default",
        "listed",
        "inner",
        "global",
    }


GLOBAL = Agent("global")


def test_nobody_acts_by_default() -> None:
    assert current_identity() is None
    guard = Guard(None)
    with pytest.raises(TrustWardenError) as failed:
        guard.open(guard.spec_of("desk", ["search"]))
    assert code_of(failed) == "agent_missing"
