"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

import asyncio
import sys
import tempfile
from pathlib import Path

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage
from model import clerk_turns, model_env, turns

from trustwarden import AgentIdentity
from trustwarden.adapters.claude_agent import query


async def main() -> str | None:
    with tempfile.TemporaryDirectory() as home:
        options = ClaudeAgentOptions(
            mcp_servers={"records": {"command": sys.executable, "args": [str(Path("records.py").absolute())]}},
            allowed_tools=["mcp__records__read_record"],
            env={**model_env, "HOME": home, "CLAUDE_CONFIG_DIR": home},
            setting_sources=[],
            cwd=home,
        )
        actions = {"mcp__records__read_record": "read:record:{id}"}
        with AgentIdentity.create(name="clerk") as identity:
            asked = query(
                prompt="Is record 7 paid?", options=options, identity=identity, actions=actions, unmapped="deny"
            )
            said = [message async for message in asked]
    return next(message.result for message in said if isinstance(message, ResultMessage))


turns[:] = clerk_turns
print(asyncio.run(main()))
assert Path("heard").read_text() == "7\n"
