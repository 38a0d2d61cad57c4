"""A desk with a researcher below it: each acts with an identity of its own, and not beyond it."""

from langchain.agents import create_agent
from langchain.tools import tool
from model import desk_model, researcher_model

from trustwarden import AgentIdentity
from trustwarden.adapters.langchain import current_identity, protect

readers: list[str] = []
deleted: list[str] = []


@tool
def read_file(path: str) -> str:
    """Reads a file."""
    identity = current_identity()
    readers.append(identity.id if identity else "nobody")
    return f"{path}: profits rose"


@tool
def delete_file(path: str) -> str:
    """Deletes a file."""
    deleted.append(path)
    return f"{path} is gone"


researcher = create_agent(researcher_model, tools=[read_file, delete_file], name="researcher")


@tool
def ask_researcher(question: str) -> str:
    """Asks the researcher."""
    return researcher.invoke({"messages": [("user", question)]})["messages"][-1].text


desk = create_agent(desk_model, tools=[ask_researcher], name="desk")

with AgentIdentity.create(name="desk") as identity:
    actions = {"read_file": "read:file:{path}", "delete_file": "delete:file:{path}"}
    protect(desk, identity, actions=actions, scopes={"researcher": ["read:file"]})
    answer = desk.invoke({"messages": [("user", "How was the third quarter?")]})

print(answer["messages"][-1].text)
assert len(readers) == 1 and "/desk.researcher/inst-" in readers[0]
assert deleted == []
