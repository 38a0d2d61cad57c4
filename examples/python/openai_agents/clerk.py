"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

import asyncio
import sys
from pathlib import Path

from agents import Agent, Runner
from agents.mcp import MCPServerStdio
from model import clerk_model

from trustwarden import AgentIdentity
from trustwarden.adapters.openai_agents import protect


async def main() -> str:
    program = {"command": sys.executable, "args": ["records.py"]}
    async with MCPServerStdio(params=program, client_session_timeout_seconds=60) as records:
        clerk = Agent(name="clerk", mcp_servers=[records], model=clerk_model)
        async with await AgentIdentity.acreate(name="clerk") as identity:
            protect(clerk, identity, actions={"read_record": "read:record:{id}"}, unmapped="deny")
            return (await Runner.run(clerk, "Is record 7 paid?")).final_output


print(asyncio.run(main()))
assert Path("heard").read_text() == "7\n"
