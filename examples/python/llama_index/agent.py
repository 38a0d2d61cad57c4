"""A desk with a researcher below it: each acts with an identity of its own, and not beyond it."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from model import desk_model, researcher_model

from trustwarden import AgentIdentity
from trustwarden.adapters.llama_index import current_identity, protect

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


researcher = FunctionAgent(name="researcher", tools=[read_file, delete_file], llm=researcher_model, streaming=False)


async def ask_researcher(question: str) -> str:
    """Asks the researcher."""
    return str(await researcher.run(question))


desk = FunctionAgent(name="desk", tools=[ask_researcher], llm=desk_model, streaming=False)


async def main() -> str:
    async with await AgentIdentity.acreate(name="desk") as identity:
        actions = {"read_file": "read:file:{path}", "delete_file": "delete:file:{path}"}
        protect(desk, identity, actions=actions, scopes={"researcher": ["read:file"]})
        return str(await desk.run("How was the third quarter?"))


print(asyncio.run(main()))
assert len(readers) == 1 and "/desk.researcher/inst-" in readers[0]
assert deleted == []
