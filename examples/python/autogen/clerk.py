"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

import asyncio
import sys
from pathlib import Path

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.tools.mcp import StdioServerParams, mcp_server_tools
from model import clerk_model

from trustwarden import AgentIdentity
from trustwarden.adapters.autogen import protect


async def main() -> str:
    records = StdioServerParams(command=sys.executable, args=["records.py"], read_timeout_seconds=60)
    tools = await mcp_server_tools(records)
    clerk = AssistantAgent("clerk", clerk_model, tools=[*tools], max_tool_iterations=3)
    async with await AgentIdentity.acreate(name="clerk") as identity:
        protect(clerk, identity, actions={"read_record": "read:record:{id}"}, unmapped="deny")
        answer = await clerk.run(task="Is record 7 paid?")
    return answer.messages[-1].to_model_text()


print(asyncio.run(main()))
assert Path("heard").read_text() == "7\n"
