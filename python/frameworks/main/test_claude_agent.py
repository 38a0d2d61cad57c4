"""The Claude Agent SDK with its own program, before an API on loopback."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest
from anthropic_api import ScriptedApi
from claude_agent_sdk import (
    AgentDefinition,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    PermissionResultAllow,
    ResultMessage,
    SdkMcpTool,
    create_sdk_mcp_server,
)
from contract import chain_of
from harness import SCOPE, Call, Definition, Harness, Result
from questions import WaitingContract
from world import World

from trustwarden import AgentIdentity
from trustwarden.adapters._agent_run import RunEnded
from trustwarden.adapters._mapping import ToolMapping
from trustwarden.adapters.claude_agent import protect, query

PREFIX = "mcp__desk__"


class ClaudeHarness(Harness):
    modes: ClassVar = ("async",)

    def __init__(self, home: Path) -> None:
        self.home = home
        self.apis: list[ScriptedApi] = []

    def close(self) -> None:
        for api in self.apis:
            api.close()

    def named(self, tool: str) -> str:
        return PREFIX + tool

    def options_for(self, turns: Any, **options: Any) -> ClaudeAgentOptions:
        api = ScriptedApi(turns)
        self.apis.append(api)
        env = {
            "HOME": str(self.home),
            "CLAUDE_CONFIG_DIR": str(self.home / ".claude"),
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "PATH": os.environ["PATH"],
        }
        return ClaudeAgentOptions(env=env, cwd=self.home, model="scripted", setting_sources=[], **options)

    def make(self, definition: Definition) -> Any:
        subs = [self.make(sub) for sub in definition.subs]
        tools = [*map(tool_of, definition.tools), *(self._offer(sub) for sub in subs)]
        turns = [
            turn if isinstance(turn, str) else [Call(self.named(call.tool), call.args, call.id) for call in turn]
            for turn in definition.turns
        ]
        options = self.options_for(
            turns,
            mcp_servers={"desk": create_sdk_mcp_server("desk", tools=tools)} if tools else {},
            allowed_tools=[self.named(tool.name) for tool in tools],
        )
        client: Any = ClaudeSDKClient(options)
        client.called, client.subs, client.api = definition.name, subs, self.apis[-1]
        return client

    def _offer(self, sub: Any) -> SdkMcpTool[Any]:
        async def ask(question: str) -> str:
            """Asks."""
            return str((await self._go(sub)).final)

        ask.__name__ = f"ask_{sub.called}"
        return tool_of(ask)

    def protect(self, agent: Any, identity: AgentIdentity | None, **options: Any) -> Any:
        actions, scopes = options.pop("actions", {}), options.pop("scopes", {})
        rows = {self.named(tool): row for tool, row in actions.items()}
        if options.get("unmapped", "use") == "use":
            rows = {tool: f"use:tool:{tool.removeprefix(PREFIX)}" for tool in tools_below(agent)} | rows
        for sub in agent.subs:
            # One program knows nothing of another that a tool of its starts, so what that one needs is said.
            needs = {sub.called: ToolMapping(rows).scope_of(tools_below(sub))} | scopes
            self.protect(sub, None, actions=actions, scopes=needs, **options)
        return protect(agent, identity, actions=rows, scopes=scopes, name=agent.called, **options)

    def run(self, agent: Any, mode: str) -> Result:
        return asyncio.run(self._go(agent))

    async def _go(self, agent: Any) -> Result:
        final = None
        async with agent:
            await agent.query("go")
            async for message in agent.receive_response():
                if isinstance(message, ResultMessage):
                    final = message.result
        return Result(results=dict(agent.api.told), final=final)


def tools_below(agent: Any) -> list[str]:
    return [*agent.options.allowed_tools, *(tool for sub in agent.subs for tool in tools_below(sub))]


def tool_of(function: Callable[..., Any]) -> SdkMcpTool[Any]:
    async def handler(args: dict[str, Any]) -> dict[str, Any]:
        result = function(**args)
        text = await result if inspect.isawaitable(result) else result
        return {"content": [{"type": "text", "text": text}]}

    names = inspect.signature(function).parameters
    properties = {name: {"type": "string"} for name in names}
    required = [name for name, found in names.items() if found.default is found.empty]
    schema = {"type": "object", "properties": properties, "required": required}
    return SdkMcpTool(function.__name__, function.__doc__ or "", schema, handler)


class TestClaude(WaitingContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[ClaudeHarness]:
        harness = ClaudeHarness(tmp_path)
        yield harness
        harness.close()

    @pytest.fixture(params=["async"])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_its_own_tools_are_guarded_and_each_sub_agent_is_a_child_with_less(
        self, world: World, harness: ClaudeHarness, tmp_path: Path
    ) -> None:
        looked, secret = tmp_path / "looked", tmp_path / "secret"
        task = {"description": "d", "prompt": "look", "subagent_type": "reader", "run_in_background": False}
        stray = {**task, "subagent_type": "stray"}
        shell = {"command": f"echo x > {looked}", "description": "looks"}
        turns = [
            [Call("Agent", task, "a1")],
            [Call("Bash", shell, "b1"), Call("Write", {"file_path": str(secret), "content": "x"}, "w1")],
            "looked",
            [Call("Agent", stray, "a2")],
            [Call("Bash", {"command": f"echo x > {secret}", "description": "hides"}, "b2")],
            "nothing",
            "done",
        ]
        reader = AgentDefinition("reads", "read", tools=["Bash", "Write"])
        agents = {"reader": reader, "stray": AgentDefinition("strays", "stray")}
        options = harness.options_for(turns, agents=agents, allowed_tools=["Agent", "Bash", "Write"])
        root = world.create(["use:tool:Agent", "use:tool:Bash", "use:tool:Write"])

        async def go() -> str | None:
            scopes = {"reader": ["use:tool:Bash"]}
            messages = query(prompt="go", options=options, identity=root, scopes=scopes)
            return [message.result async for message in messages if isinstance(message, ResultMessage)][-1]

        assert asyncio.run(go()) == "done"
        assert (looked.exists(), secret.exists()) == (True, False)
        told = harness.apis[-1].told
        assert "TrustWarden refused 'Write' (denied)" in told["w1"][0]
        assert "(agent_missing)" in told["b2"][0]
        root.close()
        recorded = {(who, action): outcome for who, action, outcome in world.records(root)}
        [child] = {who for who, _ in recorded} - {root.id}
        assert f"/{root.name}.reader/" in child
        assert recorded[(child, "use:tool:Bash")] == "success"
        assert recorded[(child, "use:tool:Write")] == "denied"
        world.eventually(lambda: "revoke" in [event["kind"] for event in world.events(root)], lambda: "no end")

    def test_what_a_hook_or_the_user_changed_after_the_decision_does_not_run(
        self, world: World, harness: ClaudeHarness, tmp_path: Path
    ) -> None:
        changed = tmp_path / "changed"
        other = {"command": f"echo x > {changed}", "description": "test"}

        async def change(*_: Any) -> Any:
            said = {"hookEventName": "PreToolUse", "permissionDecision": "allow", "updatedInput": other}
            return {"hookSpecificOutput": said}

        async def allow(*_: Any) -> Any:
            return PermissionResultAllow(updated_input=other)

        decided = tmp_path / "decided"
        turns = [[Call("Bash", {"command": f"echo x > {decided}", "description": "test"}, "b1")], "not run"]
        root = world.create(["use:tool:Bash"])
        hooks: Any = {"PreToolUse": [HookMatcher(hooks=[change])]}
        for more in ({"hooks": hooks, "allowed_tools": ["Bash"]}, {"can_use_tool": allow}):
            options = harness.options_for(turns, **more)

            async def go(options: ClaudeAgentOptions = options) -> None:
                async for _ in query(prompt="go", options=options, identity=root):
                    pass

            asyncio.run(go())
            assert "changed after it was decided about" in harness.apis[-1].told["b1"][0]
        assert (decided.exists(), changed.exists()) == (False, False)
        root.close()

    def test_a_stopped_agents_run_ends(self, world: World, harness: ClaudeHarness, tmp_path: Path) -> None:
        late = tmp_path / "late"
        turns = [[Call("Bash", {"command": f"echo x > {late}", "description": "test"}, "b1")], "never said"]
        client = ClaudeSDKClient(harness.options_for(turns, allowed_tools=["Bash"]))
        root = world.create(["use:tool:Bash"])
        protect(client, root)
        world.revoke(root)

        async def go() -> None:
            async with client:
                await client.query("go")
                async for _ in client.receive_response():
                    pass

        with pytest.raises(RunEnded):
            asyncio.run(go())
        assert not late.exists()
        assert len(harness.apis[-1].left) == 1
        root.close()

    def test_a_stop_ends_the_program_that_is_at_work_and_the_ledger_has_the_call_as_broken_off(
        self, world: World, harness: ClaudeHarness, tmp_path: Path
    ) -> None:
        written = tmp_path / "pid"
        turns = [[Call("Bash", {"command": f"echo $$ > {written}; exec sleep 600", "description": "test"}, "b1")], "no"]
        client = ClaudeSDKClient(harness.options_for(turns, allowed_tools=["Bash"]))
        root = world.create(["use:tool:Bash"])
        protect(client, root)

        def stop() -> None:
            world.eventually(lambda: written.exists() and written.read_text().strip() != "", lambda: "it never began")
            world.revoke(root)

        async def go() -> None:
            async with client, anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, stop)
                await client.query("go")
                async for _ in client.receive_response():
                    pass

        with pytest.raises(BaseException) as failed:
            asyncio.run(go())
        assert any(isinstance(error, RunEnded) for error in chain_of(failed.value))
        root.close()
        world.expect_records(root, [(root.id, "use:tool:Bash", "aborted")])
        program = Path("/proc") / written.read_text().strip()
        world.eventually(lambda: not program.exists(), lambda: "it runs on")

    def test_a_client_that_is_connected_is_neither_protected_nor_connected_again(
        self, world: World, harness: ClaudeHarness
    ) -> None:
        root = world.create(SCOPE)
        running, guarded = (ClaudeSDKClient(harness.options_for([])) for _ in range(2))
        protect(guarded, root)

        async def go() -> None:
            async with running, guarded:
                with pytest.raises(ValueError, match="protect it first"):
                    protect(running, root)
                with pytest.raises(ValueError, match="connected already"):
                    await guarded.connect()

        asyncio.run(go())
        root.close()
