"""The arguments of a LangChain tool's body, without what the framework injects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool


def visible_args(tool: BaseTool, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, object]:
    """What the caller chose: the arguments of the body, after validation, without what the framework injects."""
    chosen = _fields(tool.tool_call_schema)
    # Of a tool whose schema comes from elsewhere, as an MCP server's does, only its function says what is injected.
    of_function = cast("frozenset[str]", getattr(tool, "_injected_args_keys", frozenset[str]()))
    injected = {"config", "run_manager", *of_function, *(_fields(tool.get_input_schema()) - chosen)}
    named = {name: value for name, value in kwargs.items() if name in chosen or name not in injected}
    return {**{f"arg{index}": value for index, value in enumerate(args)}, **named}


def _fields(schema: object) -> set[str]:
    fields = getattr(schema, "model_fields", None)
    if isinstance(fields, Mapping):
        return set(cast("Mapping[str, object]", fields))
    if isinstance(schema, dict):
        return set(cast("dict[str, dict[str, object]]", schema).get("properties", {}))
    return set()
