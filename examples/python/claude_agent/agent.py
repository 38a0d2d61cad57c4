"""A desk with a researcher below it: each acts with an identity of its own, and not beyond it."""

import asyncio
import tempfile
from typing import Any

from claude_agent_sdk import (
    AgentDefinition,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ResultMessage,
    create_sdk_mcp_server,
    tool,
)
from model import model_env

from trustwarden import AgentIdentity
from trustwarden.adapters.claude_agent import current_identity, protect

readers: list[str] = []
deleted: list[str] = []


@tool("read_file", "Reads a file.", {"path": str})
async def read_file(args: dict[str, Any]) -> dict[str, Any]:
    identity = current_identity()
    readers.append(identity.id if identity else "nobody")
    return {"content": [{"type": "text", "text": f"{args['path']}: profits rose"}]}


@tool("delete_file", "Deletes a file.", {"path": str})
async def delete_file(args: dict[str, Any]) -> dict[str, Any]:
    deleted.append(args["path"])
    return {"content": [{"type": "text", "text": f"{args['path']} is gone"}]}


async def main() -> str | None:
    tools = ["mcp__files__read_file", "mcp__files__delete_file"]
    with tempfile.TemporaryDirectory() as home:
        options = ClaudeAgentOptions(
            agents={"researcher": AgentDefinition("Finds out.", "Find out.", tools=tools)},
            mcp_servers={"files": create_sdk_mcp_server("files", tools=[read_file, delete_file])},
            allowed_tools=["Agent", *tools],
            env={**model_env, "HOME": home, "CLAUDE_CONFIG_DIR": home},
            setting_sources=[],
            cwd=home,
        )
        actions = {"mcp__files__read_file": "read:file:{path}", "mcp__files__delete_file": "delete:file:{path}"}
        with AgentIdentity.create(name="desk") as identity:
            desk = ClaudeSDKClient(options)
            protect(desk, identity, actions=actions, scopes={"researcher": ["read:file"]})
            async with desk:
                await desk.query("How was the third quarter?")
                said = [message async for message in desk.receive_response()]
    return next(message.result for message in said if isinstance(message, ResultMessage))


print(asyncio.run(main()))
assert len(readers) == 1 and "/desk.researcher/inst-" in readers[0]
assert deleted == []
