"""A desk with a researcher below it: each acts with an identity of its own, and not beyond it."""

from model import desk_model, researcher_model
from pydantic_ai import Agent

from trustwarden import AgentIdentity
from trustwarden.adapters.pydantic_ai import current_identity, protect

readers: list[str] = []
deleted: list[str] = []
researcher = Agent(researcher_model, name="researcher")
desk = Agent(desk_model, name="desk")


@researcher.tool_plain
def read_file(path: str) -> str:
    """Reads a file."""
    identity = current_identity()
    readers.append(identity.id if identity else "nobody")
    return f"{path}: profits rose"


@researcher.tool_plain
def delete_file(path: str) -> str:
    """Deletes a file."""
    deleted.append(path)
    return f"{path} is gone"


@desk.tool_plain
async def ask_researcher(question: str) -> str:
    """Asks the researcher."""
    return (await researcher.run(question)).output


with AgentIdentity.create(name="desk") as identity:
    actions = {"read_file": "read:file:{path}", "delete_file": "delete:file:{path}"}
    protect(desk, identity, actions=actions, scopes={"researcher": ["read:file"]})
    answer = desk.run_sync("How was the third quarter?")

print(answer.output)
assert len(readers) == 1 and "/desk.researcher/inst-" in readers[0]
assert deleted == []
