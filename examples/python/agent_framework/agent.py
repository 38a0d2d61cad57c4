"""A desk with a researcher below it: each acts with an identity of its own, and not beyond it."""

import asyncio

from agent_framework import Agent
from model import desk_model, researcher_model

from trustwarden import AgentIdentity
from trustwarden.adapters.agent_framework import current_identity, protect

readers: list[str] = []
deleted: list[str] = []


def read_file(path: str) -> str:
    """Reads a file."""
    identity = current_identity()
    readers.append(identity.id if identity else "nobody")
    return f"{path}: profits rose"


def delete_file(path: str) -> str:
    """Deletes a file."""
    deleted.append(path)
    return f"{path} is gone"


researcher = Agent(researcher_model, name="researcher", tools=[read_file, delete_file])
desk = Agent(desk_model, name="desk", tools=[researcher.as_tool()])

with AgentIdentity.create(name="desk") as identity:
    actions = {"read_file": "read:file:{path}", "delete_file": "delete:file:{path}"}
    protect(desk, identity, actions=actions, scopes={"researcher": ["read:file"]})
    answer = asyncio.run(desk.run("How was the third quarter?"))

print(answer.text)
assert len(readers) == 1 and "/desk.researcher/inst-" in readers[0]
assert deleted == []
