"""A crew with a desk and a researcher that it asks: each acts with an identity of its own, and not beyond it."""

from crewai import Agent, Crew, Task
from crewai.tools import tool
from model import desk_model, researcher_model

from trustwarden import AgentIdentity
from trustwarden.adapters.crewai import current_identity, protect

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


researcher = Agent(
    role="researcher", goal="Find out", backstory="Reads", llm=researcher_model, tools=[read_file, delete_file]
)
clerk = Agent(role="clerk", goal="Answer", backstory="Asks", llm=desk_model, allow_delegation=True)
task = Task(description="How was the third quarter?", expected_output="A sentence", agent=clerk)
crew = Crew(agents=[clerk, researcher], tasks=[task])

with AgentIdentity.create(name="desk") as identity:
    actions = {"read_file": "read:file:{path}", "delete_file": "delete:file:{path}"}
    scopes = {"clerk": ["read:file", "use:tool:ask_question_to_coworker"], "researcher": ["read:file"]}
    protect(crew, identity, actions=actions, scopes=scopes)
    answer = crew.kickoff()

print(answer.raw)
assert len(readers) == 1 and "/desk.clerk.researcher/inst-" in readers[0]
assert deleted == []
