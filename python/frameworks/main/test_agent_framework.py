"""Microsoft Agent Framework, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import pytest
from agent_framework import (
    Agent,
    AgentSession,
    BaseAgent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    ContextProvider,
    Executor,
    FunctionInvocationContext,
    FunctionInvocationLayer,
    FunctionMiddleware,
    Message,
    MiddlewareFailure,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    tool,
)
from agent_framework.orchestrations import HandoffBuilder, SequentialBuilder
from harness import ACTIONS, SCOPE, Call, Definition, Desk, Harness, PausingHarness, Result, Turn
from questions import PausingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters.agent_framework import protect


class ScriptedClient(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):  # type: ignore[type-arg]
    """Says its turns one after the other."""

    def __init__(self, turns: Any) -> None:
        super().__init__()
        self.left = list(turns)
        self.told: list[str] = []

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **_: Any) -> Any:
        self.told += [content.result for each in messages for content in each.contents if content.result]
        return self._build_response_stream(self._said()) if stream else self._answered()

    async def _answered(self) -> ChatResponse:
        return ChatResponse(messages=[Message("assistant", contents_of(self.left.pop(0)))])

    async def _said(self) -> AsyncIterator[ChatResponseUpdate]:
        yield ChatResponseUpdate(role="assistant", contents=contents_of(self.left.pop(0)))


def contents_of(turn: Turn) -> list[Content]:
    if isinstance(turn, str):
        return [Content.from_text(turn)]
    return [Content.from_function_call(call.id, call.tool, arguments=dict(call.args)) for call in turn]


def agent_of(name: str, turns: Any, tools: Any = (), **options: Any) -> Any:
    return Agent(ScriptedClient(turns), name=name, tools=[*tools], **options)


class MicrosoftHarness(PausingHarness):
    modes: ClassVar = ("async", "stream")

    def make(self, definition: Definition) -> Any:
        offered = [self._offer(self.make(sub)) for sub in definition.subs]
        return agent_of(definition.name, definition.turns, [*map(tool, definition.tools), *offered])

    def _offer(self, sub: Any) -> Any:
        return sub.as_tool(name=f"ask_{sub.name}", arg_name="question")

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        return protect(agent, identity, **options)

    def run(self, agent: Any, mode: str) -> Result:
        return asyncio.run(self._go(agent, mode, AgentSession(), "go"))

    def resume(self, agent: Any, paused: Result, *, approved: bool) -> Result:
        mode, session, request = paused.handle
        answer = Message("user", [request.to_function_approval_response(approved)])
        return asyncio.run(self._go(agent, mode, session, answer))

    async def _go(self, agent: Any, mode: str, session: Any, said: Any) -> Result:
        if mode == "stream":
            response = await agent.run(said, session=session, stream=True).get_final_response()
        else:
            response = await agent.run(said, session=session)
        contents = [content for message in response.messages for content in message.contents]
        results = [content for content in contents if content.type == "function_result"]
        asked = next(iter(response.user_input_requests), None)
        return Result(
            results={each.call_id: (str(each.result), each.exception is not None) for each in results},
            final=None if asked else response.text,
            question=asked.additional_properties["trustwarden"] if asked else None,
            handle=(mode, session, asked),
        )


class TestMicrosoft(PausingContract):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        yield MicrosoftHarness()

    @pytest.fixture(params=["async", "stream"])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_members_of_a_workflow_are_children_of_it_and_handoffs_lead_to_guarded_copies(
        self, world: World, desk: Desk
    ) -> None:
        tools = [tool(each) for each in desk.pick("read_file", "write_file")]
        first = agent_of(
            "first", [[Call("handoff_to_second", {}, "h1")]], tools, require_per_service_call_history_persistence=True
        )
        turns = [[Call("read_file", {"path": "b"}, "s1"), Call("write_file", {"path": "notes"}, "s2")], "done"]
        second = agent_of("second", turns, tools, require_per_service_call_history_persistence=True)
        builder: Any = HandoffBuilder(participants=[first, second]).add_handoff(first, [second])
        workflow = builder.with_start_agent(first).build()
        root = world.create(SCOPE)
        protect(workflow, root, actions=ACTIONS, scopes={"first": ["read:file"], "second": ["read:file"]})
        asyncio.run(workflow.run("go"))
        [(who, what)] = desk.done
        assert (what, f"/{root.name}.second/" in who) == ("read b", True)
        root.close()
        recorded = [(who, "read:file:b", "success"), (who, "write:file:notes", "denied")]
        world.eventually(lambda: sorted(world.records(root)) == recorded, lambda: world.records(root))

    def test_a_question_in_a_workflow_is_the_workflows_own_request(self, world: World, desk: Desk) -> None:
        turns = [[Call("send_mail", {"to": "bob"}, "c1")], "sent"]
        workflow: Any = SequentialBuilder(
            participants=[agent_of("mailer", turns, map(tool, desk.pick("send_mail")))]
        ).build()
        root = world.create(SCOPE)
        protect(workflow, root, actions=ACTIONS)

        async def go() -> None:
            asked = await workflow.run("go")
            [event] = asked.get_request_info_events()
            world.approve(str(event.data.additional_properties["trustwarden"]["request"]))
            answer = event.data.to_function_approval_response(True)
            await workflow.run(responses={event.request_id: answer})

        asyncio.run(go())
        [(who, what)] = desk.done
        assert (what, f"/{root.name}.mailer/" in who) == ("send bob", True)
        root.close()

    def test_two_questions_may_be_answered_in_any_order_and_one_by_one(self, world: World, desk: Desk) -> None:
        calls = [Call("send_mail", {"to": to}, f"c-{to}") for to in ("bob", "eve")]
        # The framework tells the model of each answer, also while the other question is open.
        agent = agent_of("desk", [calls, "one", "done"], map(tool, desk.pick("send_mail")))
        root = world.create(SCOPE)
        protect(agent, root, actions=ACTIONS)
        session = AgentSession()

        async def go() -> Any:
            response = await agent.run("go", session=session)
            for request in reversed(response.user_input_requests):
                world.approve(str(request.additional_properties["trustwarden"]["request"]))
                answer = Message("user", [request.to_function_approval_response(True)])
                response = await agent.run(answer, session=session)
            return response

        assert asyncio.run(go()).text == "done"
        assert sorted(desk.what) == ["send bob", "send eve"]
        root.close()

    def test_inside_of_a_tool_and_without_a_session_a_question_is_waited_for(self, world: World, desk: Desk) -> None:
        harness, root = MicrosoftHarness(), world.create(SCOPE)
        mailer = Definition("mailer", [[Call("send_mail", {"to": "bob"}, "m1")], "sent"], desk.pick("send_mail"))
        boss = harness.make(Definition("desk", [[Call("ask_mailer", {"question": "x"}, "c1")], "done"], (), [mailer]))
        protect(boss, root, actions=ACTIONS, approval_timeout=0.05)
        assert harness.run(boss, "async").final == "done"
        alone = harness.make(mailer)
        protect(alone, root, actions=ACTIONS, approval_timeout=0.05)
        assert asyncio.run(alone.run("go")).text == "sent"
        assert "(approval_expired)" in alone.client.told[0]
        assert desk.what == []
        root.close()

    def test_no_middleware_comes_between_the_decision_and_the_tool(self, world: World, desk: Desk) -> None:
        class Changes(FunctionMiddleware):
            async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
                context.arguments = {"path": "secrets"}
                await call_next()

        class Contributes(ContextProvider):
            async def before_run(self, *, context: Any, **_: Any) -> None:
                context.extend_middleware(self.source_id, [Changes()])

        turns = [[Call("write_file", {"path": "notes"}, "c1")], "done"]
        root = world.create(SCOPE)
        for options in ({"middleware": [Changes()]}, {"context_providers": [Contributes("changes")]}):
            agent = agent_of("desk", turns, map(tool, desk.pick("write_file")), **options)
            protect(agent, root, actions=ACTIONS)
            assert asyncio.run(agent.run("go")).text == "done"
            assert "TrustWarden refused 'write_file'" in agent.client.told[0]
        assert desk.what == []
        root.close()

    def test_what_cannot_be_guarded_is_refused(self, world: World) -> None:
        root = world.create(SCOPE)
        hosted = agent_of("desk", ["done"])
        protect(hosted, root)
        with pytest.raises(MiddlewareFailure, match="vendor"):
            asyncio.run(hosted.run("go", options={"tools": [{"type": "web_search"}]}))

        class Alone(BaseChatClient):  # type: ignore[type-arg]
            def _inner_get_response(self, **_: Any) -> Any:
                raise NotImplementedError

        with pytest.raises(ValueError, match="calls functions by itself"):
            protect(Agent(Alone(), name="desk"), root)
        with pytest.raises(ValueError, match="not the name of one agent"):
            protect(Agent(ScriptedClient([])), root)
        with pytest.raises(ValueError, match="is run by its run"):
            asyncio.run(hosted._prepare_run_context(messages="go"))
        root.close()

    def test_no_agent_of_a_workflow_goes_unseen(self, world: World) -> None:
        class OfAnotherKind(BaseAgent):
            def run(self, *_: Any, **__: Any) -> Any:
                raise NotImplementedError

        class Alike:
            id = name = description = "alike"
            run = get_session = OfAnotherKind.run

            def create_session(self) -> AgentSession:
                return AgentSession()

        class Holds(Executor):
            def __init__(self, agent: Any) -> None:
                super().__init__(id="holds")
                self.agent = agent

            @handler
            async def hear(self, said: str, context: WorkflowContext[str]) -> None:
                raise NotImplementedError

        root = world.create(SCOPE)
        opaque = agent_of("opaque", [], context_providers=[ContextProvider("tools")])
        others = {"is no Agent": [OfAnotherKind(name="other"), Alike()], "known only while it runs": [opaque]}
        for why, agents in others.items():
            for agent in agents:
                workflow: Any = SequentialBuilder(participants=[agent]).build()
                with pytest.raises(ValueError, match=why):
                    protect(workflow, root)
        inner = agent_of("inner", [])
        protect(WorkflowBuilder(start_executor=Holds(inner)).build(), root)
        with pytest.raises(ValueError, match="protected already"):
            protect(inner, root)
        root.close()
