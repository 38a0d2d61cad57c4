/** OpenAI Agents itself, with a model that follows a script, on a real server. */
import { Runner, setTracingDisabled, tool, webSearchTool } from "@openai/agents";
import type { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { actAs, currentAgent } from "./acting.ts";
import { resultsOf, scripted } from "./openai-agents.test.support.ts";
import { guardAgent, type ToolDefinition } from "./openai-agents.ts";
import { startWorld, type World } from "./world.test.support.ts";

setTracingDisabled(true);
const runner = new Runner({ tracingDisabled: true });

const done: string[] = [];
const toolNamed = (name: string): ToolDefinition => ({
  name,
  description: name,
  parameters: z.object({ of: z.string() }),
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

describe("an agent of OpenAI Agents", () => {
  it("has each tool call decided and recorded, and goes on after a denied one", async () => {
    const narrow = await world.createAgent(["use:tool:look", "use:tool:break"], "narrow");
    const broken: ToolDefinition = {
      ...toolNamed("break"),
      execute: () => {
        throw new Error("broken");
      },
    };
    const agent = guardAgent(
      {
        name: "narrow",
        model: scripted(
          [
            ["look", { of: "a" }],
            ["erase", { of: "b" }],
            ["break", { of: "c" }],
          ],
          "all I could",
        ),
        tools: [toolNamed("look"), toolNamed("erase"), broken],
      },
      narrow,
      { runner },
    );
    const result = await agent.run("go");
    expect(result.finalOutput).toBe("all I could");
    expect(resultsOf(result)).toEqual(
      expect.arrayContaining([
        "look of a",
        expect.stringContaining("not run (denied)"),
        expect.stringContaining("error"),
      ]),
    );
    expect(done.filter((line) => line.startsWith("erase"))).toEqual([]);
    const seen = (await world.actionsOf(narrow)).map(({ action, outcome }) => `${action} ${outcome}`);
    expect(seen.sort()).toEqual(["use:tool:break failure", "use:tool:erase denied", "use:tool:look success"]);
  });

  it("hands over to another as its child, with tools of its own", async () => {
    let id = "";
    const reader = guardAgent(
      {
        name: "reader",
        model: scripted([["fetch", { of: "page" }]], "read"),
        tools: [
          {
            ...toolNamed("fetch"),
            execute: () => {
              id = currentAgent()?.id ?? "";
              return "page";
            },
          },
        ],
      },
      { name: "reader", scope: ["read:web"] },
      { rules: { fetch: "read:web" } },
    );
    const boss = guardAgent(
      { name: "boss", model: scripted([["transfer_to_reader", {}]]), handoffs: [reader] },
      root,
      { runner },
    );
    expect((await boss.run("go")).finalOutput).toBe("read");
    expect(id).toMatch(/\/reader\/inst-/);
    const { events } = Object(await world.live.admin("GET", `/v1/events?agent=${encodeURIComponent(id)}`));
    expect(events.map(({ kind }: { kind: string }) => kind)).toEqual(
      expect.arrayContaining(["issue", "revoke"]),
    );
    expect(events.find(({ kind }: { kind: string }) => kind === "action")).toMatchObject({
      action: "read:web",
      parent_agent_id: root.agentId,
    });
  });

  it("is interrupted to ask a human, and goes on when the owner has said yes", async () => {
    const agent = guardAgent(
      { name: "mailer", model: scripted([["mail", { of: "bob" }]], "sent"), tools: [toolNamed("mail")] },
      root,
      { rules: { mail: "send:mail" }, runner },
    );
    const first = await agent.run("mail bob");
    expect(first.interruptions).toHaveLength(1);
    expect(done).not.toContain("mail bob as orchestrator");
    for (const interruption of first.interruptions) first.state.approve(interruption);
    const second = agent.run(first.state);
    await world.answerNext("approve");
    expect((await second).finalOutput).toBe("sent");
    expect(done).toContain("mail bob as orchestrator");
  });

  it.each([
    ["with its next call", false],
    ["while a tool is at work", true],
  ])("stops in mid-run when its parent is stopped: %s", async (_, isAtWork) => {
    const name = isAtWork ? "at-work" : "worker";
    const parent = await world.createAgent(["use:tool", "read:web"], isAtWork ? "doomed" : "ending");
    const step: ToolDefinition = {
      ...toolNamed("step"),
      execute: async ({ of }) => {
        done.push(`step ${of}`);
        if (of === "1") await world.stopAtWork(parent, isAtWork);
        return of;
      },
    };
    const worker = guardAgent(
      {
        name,
        model: scripted([["step", { of: "1" }]], [["step", { of: "2" }]], "never said"),
        tools: [step],
      },
      { name, scope: ["use:tool:step"] },
      { runner },
    );
    await expect(actAs(parent, () => worker.run("go"))).rejects.toMatchObject({ status: 401 });
    if (isAtWork) await world.expectCut(parent);
    expect(done).not.toContain("step 2");
  });

  it("takes no tool whose function it cannot see, unless it is named", () => {
    const refused = expect.objectContaining({ code: "tool_unguarded" });
    const finished = tool({ name: "done", description: "d", parameters: z.object({}), execute: () => "x" });
    expect(() => guardAgent({ name: "a", tools: [finished] }, root)).toThrow(refused);
    expect(() => guardAgent({ name: "a", tools: [webSearchTool()] }, root)).toThrow(refused);
    expect(() =>
      guardAgent({ name: "a", tools: [webSearchTool()] }, root, { unguarded: ["web_search"] }),
    ).not.toThrow();
  });

  it("takes no tools from a stored prompt, unless it is named", () => {
    const refused = expect.objectContaining({ code: "tool_unguarded" });
    const stored = { name: "a", prompt: { promptId: "pmpt_1" } };
    expect(() => guardAgent(stored, root)).toThrow(refused);
    expect(() => guardAgent(stored, root, { unguarded: ["prompt"] })).not.toThrow();
  });
});
