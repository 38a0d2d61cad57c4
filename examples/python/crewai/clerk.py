"""A clerk with the tools of an MCP server: which record a call is about decides whether it may be made."""

from pathlib import Path

from crewai import Agent
from crewai.mcp import MCPServerStdio
from model import clerk_model

from trustwarden import AgentIdentity
from trustwarden.adapters.crewai import protect

records = MCPServerStdio(command="python", args=["records.py"])
clerk = Agent(role="clerk", goal="Answer", backstory="Reads", llm=clerk_model, mcps=[records])

with AgentIdentity.create(name="clerk") as identity:
    # CrewAI puts the server's name before the tool's.
    protect(clerk, identity, actions={"python_records_py_read_record": "read:record:{id}"}, unmapped="deny")
    answer = clerk.kickoff("Is record 7 paid?")

print(answer.raw)
assert Path("heard").read_text() == "7\n"
