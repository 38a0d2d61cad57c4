"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

import asyncio
import sys
from pathlib import Path

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from model import clerk_model

from trustwarden import AgentIdentity
from trustwarden.adapters.langchain import protect


async def main() -> str:
    servers = MultiServerMCPClient(
        {"records": {"transport": "stdio", "command": sys.executable, "args": ["records.py"]}}
    )
    clerk = create_agent(clerk_model, tools=await servers.get_tools(), name="clerk")
    async with await AgentIdentity.acreate(name="clerk") as identity:
        protect(clerk, identity, actions={"read_record": "read:record:{id}"}, unmapped="deny")
        answer = await clerk.ainvoke({"messages": [("user", "Is record 7 paid?")]})
    return answer["messages"][-1].text


print(asyncio.run(main()))
assert Path("heard").read_text() == "7\n"
