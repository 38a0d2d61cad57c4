/** The AI SDK itself, with a model that follows a script, on a real server. */
import { createMCPClient } from "@ai-sdk/mcp";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { type ModelMessage, type ToolSet, tool } from "ai";
import type { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { actAs, currentAgent } from "./acting.ts";
import { guardAgent, guardTools } from "./ai-sdk.ts";
import { scripted } from "./scripted-model.test.support.ts";
import { startWorld, type World } from "./world.test.support.ts";

const done: string[] = [];
const toolNamed = (name: string) =>
  tool({
    description: name,
    inputSchema: z.object({ of: z.string() }),
    execute: async ({ of }) => {
      done.push(`${name} ${of} as ${currentAgent()?.name}`);
      return `${name} of ${of}`;
    },
  });

let world: World;
let root: AgentIdentity;
beforeAll(async () => {
  world = await startWorld();
  root = await world.createAgent(["use:tool", "send:mail", "read:web"]);
});
afterAll(() => world?.close());

const typesOf = (steps: readonly { readonly content: readonly { readonly type: string }[] }[]) =>
  steps.flatMap(({ content }) => content.map(({ type }) => type));

describe("an agent of the AI SDK", () => {
  it("has each tool call decided and recorded, and goes on after a denied one", async () => {
    const narrow = await world.createAgent(["use:tool:look"], "narrow");
    const agent = guardAgent(
      {
        model: scripted(
          [
            ["look", { of: "a" }],
            ["erase", { of: "b" }],
          ],
          "all I could",
        ),
        tools: { look: toolNamed("look"), erase: toolNamed("erase") },
      },
      narrow,
    );
    const { text, steps } = await agent.generate({ prompt: "go" });
    expect(text).toBe("all I could");
    expect(typesOf(steps)).toEqual(expect.arrayContaining(["tool-call", "tool-result", "tool-error"]));
    const failed = steps.flatMap(({ content }) => content).find(({ type }) => type === "tool-error");
    expect(Object(failed).error).toMatchObject({ code: "denied" });
    expect(done.filter((line) => line.startsWith("erase"))).toEqual([]);
    expect(done).toContain("look a as narrow");
    const seen = await world.actionsOf(narrow);
    expect(seen.map(({ action, outcome }) => `${action} ${outcome}`).sort()).toEqual([
      "use:tool:erase denied",
      "use:tool:look success",
    ]);
  });

  it("has the failure that an MCP server's answer says in the ledger, and the answer", async () => {
    const broken = await world.createAgent(["use:tool:broken"], "broken");
    const server = new McpServer({ name: "records", version: "1" });
    const answer = { isError: true, content: [{ type: "text" as const, text: "out of order" }] };
    server.registerTool("broken", {}, async () => answer);
    const [near, far] = InMemoryTransport.createLinkedPair();
    await server.connect(far);
    const client = await createMCPClient({ transport: Object(near) });
    const agent = guardAgent(
      { model: scripted([["broken", {}]], "sorry"), tools: await client.tools() },
      broken,
    );
    const { steps } = await agent.generate({ prompt: "go" });
    const [result] = steps.flatMap(({ content }) => content).filter(({ type }) => type === "tool-result");
    expect(result).toMatchObject({ output: answer });
    expect(await world.actionsOf(broken)).toMatchObject([{ action: "use:tool:broken", outcome: "failure" }]);
    await client.close();
  });

  it("is called by another as its child: its own id, the caller as parent, a strict subset, over with the run", async () => {
    const ids: string[] = [];
    const reader = guardAgent(
      {
        model: scripted([["fetch", { of: "page" }]], "read"),
        tools: { fetch: toolNamed("fetch"), erase: toolNamed("erase") },
        onStepEnd: () => void ids.push(currentAgent()?.id ?? ""),
      },
      { name: "reader", scope: ["read:web"] },
      { rules: { fetch: "read:web" } },
    );
    const boss = guardAgent(
      {
        model: scripted([["delegate", {}]], "delegated"),
        tools: {
          delegate: tool({
            inputSchema: z.object({}),
            execute: async () => (await reader.generate({ prompt: "read it" })).text,
          }),
        },
      },
      root,
    );
    expect((await boss.generate({ prompt: "go" })).text).toBe("delegated");
    expect(done).toContain("fetch page as reader");
    const [id = ""] = ids;
    expect(id).toMatch(/\/reader\/inst-/);
    expect(id).not.toBe(root.id);
    const seen = await world.actionsOf(id);
    expect(seen).toMatchObject([{ action: "read:web", outcome: "success", agent: id }]);
    const { events } = Object(await world.live.admin("GET", `/v1/events?agent=${encodeURIComponent(id)}`));
    expect(events.map(({ kind }: { kind: string }) => kind)).toEqual(
      expect.arrayContaining(["issue", "revoke"]),
    );
    expect(Object(events.find(({ kind }: { kind: string }) => kind === "action")).parent_agent_id).toBe(
      root.agentId,
    );
  });

  it("is refused when it wants more than its caller has, or has no caller", async () => {
    const greedy = () =>
      guardAgent({ model: scripted("x"), tools: {} }, { name: "greedy", scope: ["delete:everything"] });
    await expect(greedy().generate({ prompt: "go" })).rejects.toMatchObject({ code: "agent_missing" });
    await expect(actAs(root, () => greedy().generate({ prompt: "go" }))).rejects.toMatchObject({
      code: "scope_not_subset",
    });
  });

  it("stops to ask a human as the SDK does, and goes on when the owner has said yes", async () => {
    const agent = guardAgent(
      {
        model: scripted([["mail", { of: "bob" }]], "sent"),
        tools: { mail: toolNamed("mail") },
      },
      root,
      { rules: { mail: "send:mail" } },
    );
    const messages: ModelMessage[] = [{ role: "user", content: "mail bob" }];
    const first = await agent.generate({ messages });
    const request = first.content.find(({ type }) => type === "tool-approval-request");
    expect(request).toBeDefined();
    expect(done).not.toContain("mail bob as orchestrator");
    messages.push(...first.responseMessages, {
      role: "tool",
      content: [{ type: "tool-approval-response", approvalId: Object(request).approvalId, approved: true }],
    });
    // The user's yes alone does nothing: the call waits for the owner's signature.
    const second = agent.generate({ messages });
    await world.answerNext("approve");
    expect((await second).text).toBe("sent");
    expect(done).toContain("mail bob as orchestrator");
  });

  it("gets a tool error when the owner says no", async () => {
    const tools = guardTools({ mail: toolNamed("mail") }, { agent: root, rules: { mail: "send:mail" } });
    const call = { toolCallId: "no", messages: [], context: undefined };
    const { needsApproval, execute } = Object(tools.mail);
    expect(await needsApproval({ of: "eve" }, call)).toBe(true);
    const sent = execute({ of: "eve" }, call);
    const refused = expect(sent).rejects.toMatchObject({ code: "approval_denied" });
    await world.answerNext("deny");
    await refused;
    expect(done).not.toContain("mail eve as orchestrator");
  });

  it("streams: tools are decided the same way, parts of a tool's own stream come through", async () => {
    const counting = tool({
      inputSchema: z.object({ of: z.string() }),
      execute: async function* ({ of }) {
        yield `${of} 1`;
        yield `${of} 2`;
      },
    });
    const agent = guardAgent(
      {
        model: scripted(
          [
            ["count", { of: "x" }],
            ["hide", { of: "y" }],
          ],
          "counted",
        ),
        tools: { count: counting, hide: toolNamed("hide") },
      },
      await world.createAgent(["use:tool:count"], "counter"),
    );
    const parts: string[] = [];
    for await (const part of (await agent.stream({ prompt: "go" })).fullStream)
      if (part.type === "tool-result") parts.push(`${part.output} ${part.preliminary === true}`);
      else if (part.type === "tool-error") parts.push(`error ${Object(part.error).code}`);
    expect(parts.sort()).toEqual(["error denied", "x 1 true", "x 2 false", "x 2 true"]);
  });

  it("records what a tool failed with, and that it was aborted", async () => {
    const failing = await world.createAgent(["use:tool"], "failing");
    const controller = new AbortController();
    const tools: ToolSet = guardTools(
      {
        break: tool({
          inputSchema: z.object({}),
          execute: async (): Promise<string> => {
            throw new Error("broken");
          },
        }),
        hang: tool({
          inputSchema: z.object({}),
          execute: async (_: object, { abortSignal }) => {
            controller.abort(new Error("enough"));
            abortSignal?.throwIfAborted();
          },
        }),
      },
      { agent: failing },
    );
    const call = { messages: [], context: undefined, abortSignal: controller.signal };
    await expect(Object(tools.break).execute({}, { ...call, toolCallId: "1" })).rejects.toThrow("broken");
    await expect(Object(tools.hang).execute({}, { ...call, toolCallId: "2" })).rejects.toThrow("enough");
    const seen = await world.actionsOf(failing);
    expect(seen.map(({ outcome }) => outcome)).toEqual(["failure", "aborted"]);
  });

  it.each([
    ["with its next call", false],
    ["while a tool is at work", true],
  ])("stops in mid-run when its parent is stopped: %s", async (_, isAtWork) => {
    const name = isAtWork ? "at-work" : "worker";
    const parent = await world.createAgent(["use:tool", "read:web"], isAtWork ? "doomed" : "ending");
    const worker = guardAgent(
      {
        model: scripted([["step", { of: "1" }]], [["step", { of: "2" }]], "never said"),
        tools: {
          step: tool({
            inputSchema: z.object({ of: z.string() }),
            execute: async ({ of }) => {
              done.push(`step ${of}`);
              if (of === "1") await world.stopAtWork(parent, isAtWork);
            },
          }),
        },
      },
      { name, scope: ["use:tool:step"] },
    );
    await expect(actAs(parent, () => worker.generate({ prompt: "go" }))).rejects.toMatchObject({
      status: 401,
    });
    if (isAtWork) await world.expectCut(parent);
    expect(done).toContain("step 1");
    expect(done).not.toContain("step 2");
  });

  it("has no tool out of the guard's sight, unless it is named", () => {
    const tools: ToolSet = { browse: { inputSchema: z.object({}), outputSchema: z.object({}) } };
    expect(() => guardTools(tools)).toThrow(expect.objectContaining({ code: "tool_unguarded" }));
    expect(guardTools(tools, { unguarded: ["browse"] }).browse).toBe(tools.browse);
  });

  it("has no tool that its settings add to a run", async () => {
    const narrow = await world.createAgent(["use:tool:look"], "prepared");
    const slip = toolNamed("slip");
    const refused = { code: "tool_unguarded" };
    const settings = {
      model: scripted([["slip", { of: "past" }]], "done"),
      tools: { look: toolNamed("look") },
    };
    const adding = guardAgent(
      { ...settings, prepareCall: (call) => Object({ ...call, tools: { slip } }) },
      narrow,
    );
    await expect(adding.generate({ prompt: "go" })).rejects.toMatchObject(refused);
    const asked = Object({ prompt: "go", tools: { slip } });
    await expect(guardAgent(settings, narrow).generate(asked)).rejects.toMatchObject(refused);
    expect(done.filter((line) => line.startsWith("slip"))).toEqual([]);
    const choosing = guardAgent(
      { ...settings, model: scripted("chosen"), prepareCall: (call) => call },
      narrow,
    );
    expect((await choosing.generate({ prompt: "go" })).text).toBe("chosen");
  });

  it("keeps parallel calls apart, one decision and one outcome each", async () => {
    const busy = await world.createAgent(["use:tool"], "busy");
    const tools = guardTools({ look: toolNamed("look") }, { agent: busy });
    const { execute } = Object(tools.look);
    const all = Array.from({ length: 8 }, (_, index) =>
      execute({ of: `p${index}` }, { toolCallId: `p${index}`, messages: [], context: undefined }),
    );
    expect(new Set(await Promise.all(all)).size).toBe(8);
    expect((await world.actionsOf(busy)).map(({ outcome }) => outcome)).toEqual(
      Array.from({ length: 8 }, () => "success"),
    );
  });
});
