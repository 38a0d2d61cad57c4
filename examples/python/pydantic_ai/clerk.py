"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

from pathlib import Path

from model import clerk_model
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

from trustwarden import AgentIdentity
from trustwarden.adapters.pydantic_ai import protect

clerk = Agent(clerk_model, name="clerk", toolsets=[MCPToolset(Path("records.py"), init_timeout=60)])

with AgentIdentity.create(name="clerk") as identity:
    protect(clerk, identity, actions={"read_record": "read:record:{id}"}, unmapped="deny")
    answer = clerk.run_sync("Is record 7 paid?")

print(answer.output)
assert Path("heard").read_text() == "7\n"
