"""A desk with a researcher below it: each acts with an identity of its own, and not beyond it."""

from agents import Agent, Runner, function_tool
from model import desk_model, researcher_model

from trustwarden import AgentIdentity
from trustwarden.adapters.openai_agents import current_identity, protect

readers: list[str] = []
deleted: list[str] = []


@function_tool
def read_file(path: str) -> str:
    """Reads a file."""
    identity = current_identity()
    readers.append(identity.id if identity else "nobody")
    return f"{path}: profits rose"


@function_tool
def delete_file(path: str) -> str:
    """Deletes a file."""
    deleted.append(path)
    return f"{path} is gone"


researcher = Agent(name="researcher", tools=[read_file, delete_file], model=researcher_model)
ask_researcher = researcher.as_tool("ask_researcher", "Asks the researcher.")
desk = Agent(name="desk", tools=[ask_researcher], model=desk_model)

with AgentIdentity.create(name="desk") as identity:
    actions = {"read_file": "read:file:{path}", "delete_file": "delete:file:{path}"}
    protect(desk, identity, actions=actions, scopes={"researcher": ["read:file"]})
    answer = Runner.run_sync(desk, "How was the third quarter?")

print(answer.final_output)
assert len(readers) == 1 and "/desk.researcher/inst-" in readers[0]
assert deleted == []
