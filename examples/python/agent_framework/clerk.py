"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

import asyncio
import sys
from pathlib import Path

from agent_framework import Agent, MCPStdioTool
from model import clerk_model

from trustwarden import AgentIdentity
from trustwarden.adapters.agent_framework import protect


async def main() -> str:
    async with MCPStdioTool("records", sys.executable, args=["records.py"]) as records:
        clerk = Agent(clerk_model, name="clerk", tools=[records])
        async with await AgentIdentity.acreate(name="clerk") as identity:
            protect(clerk, identity, actions={"read_record": "read:record:{id}"}, unmapped="deny")
            return (await clerk.run("Is record 7 paid?")).text


print(asyncio.run(main()))
assert Path("heard").read_text() == "7\n"
