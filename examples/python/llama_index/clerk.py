"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

import asyncio
import sys
from pathlib import Path

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec
from model import clerk_model

from trustwarden import AgentIdentity
from trustwarden.adapters.llama_index import protect


async def main() -> str:
    records = McpToolSpec(BasicMCPClient(sys.executable, ["records.py"]))
    tools = await records.to_tool_list_async()
    clerk = FunctionAgent(name="clerk", tools=tools, llm=clerk_model, streaming=False)
    async with await AgentIdentity.acreate(name="clerk") as identity:
        protect(clerk, identity, actions={"read_record": "read:record:{id}"}, unmapped="deny")
        return str(await clerk.run("Is record 7 paid?"))


print(asyncio.run(main()))
assert Path("heard").read_text() == "7\n"
