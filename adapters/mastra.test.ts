/** Mastra itself, with a model that follows a script, on a real server. */
import { Mastra } from "@mastra/core";
import { InMemoryStore } from "@mastra/core/storage";
import { createTool } from "@mastra/core/tools";
import type { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { actAs, currentAgent } from "./acting.ts";
import { guardAgent, guardTools } from "./mastra.ts";
import { scripted } from "./scripted-model.test.support.ts";
import { startWorld, type World } from "./world.test.support.ts";

const done: string[] = [];
const toolNamed = (id: string, execute?: (of: string) => Promise<string>) =>
  createTool({
    id,
    description: id,
    inputSchema: z.object({ of: z.string() }),
    execute: async ({ of }) => {
      done.push(`${id} ${of} as ${currentAgent()?.name}`);
      return (await execute?.(of)) ?? `${id} of ${of}`;
    },
  });
const configOf = (model: ReturnType<typeof scripted>, tools: Parameters<typeof guardTools>[0]) => ({
  id: "agent",
  name: "agent",
  instructions: "do",
  // The SDK's mock is more exact about streams than Mastra's type of a model.
  model: Object(model),
  tools,
});
const resultsOf = (output: { readonly steps: readonly object[] }): string =>
  JSON.stringify(output.steps.map((step) => Object(step).content));

let world: World;
let root: AgentIdentity;
beforeAll(async () => {
  world = await startWorld();
  root = await world.createAgent(["use:tool", "send:mail", "read:web"]);
});
afterAll(() => world?.close());

describe("an agent of Mastra", () => {
  it("has each tool call decided and recorded, and goes on after a denied one", async () => {
    const narrow = await world.createAgent(["use:tool:look", "use:tool:break"], "narrow");
    const broken = toolNamed("break", () => Promise.reject(new Error("broken")));
    const model = scripted(
      [["look", { of: "a" }]],
      [["erase", { of: "b" }]],
      [["break", { of: "c" }]],
      "all I could",
    );
    const agent = guardAgent(
      configOf(model, { look: toolNamed("look"), erase: toolNamed("erase"), break: broken }),
      narrow,
    );
    const output = await agent.generate("go");
    expect(output.text).toBe("all I could");
    for (const words of ["look of a", "erase was not run (denied)", "broken"])
      expect(resultsOf(output)).toContain(words);
    expect(done.filter((line) => line.startsWith("erase"))).toEqual([]);
    const seen = (await world.actionsOf(narrow)).map(({ action, outcome }) => `${action} ${outcome}`);
    expect(seen.sort()).toEqual(["use:tool:break failure", "use:tool:erase denied", "use:tool:look success"]);
  });

  it("is called by another as its child, and is over with its run", async () => {
    let id = "";
    const fetch = toolNamed("fetch", async () => {
      id = currentAgent()?.id ?? "";
      return "page";
    });
    const reader = guardAgent(
      configOf(scripted([["fetch", { of: "page" }]], "read"), { fetch }),
      { name: "reader", scope: ["read:web"] },
      { rules: { fetch: "read:web" } },
    );
    const delegate = toolNamed("delegate", async () => (await reader.generate("read")).text);
    const boss = guardAgent(
      configOf(scripted([["delegate", { of: "it" }]], "delegated"), { delegate }),
      root,
    );
    expect((await boss.generate("go")).text).toBe("delegated");
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

  it("is suspended to ask a human, and goes on when the owner has said yes", async () => {
    const mastra = new Mastra({ storage: new InMemoryStore(), logger: false });
    const config = {
      ...configOf(scripted([["mail", { of: "bob" }]], "sent"), { mail: toolNamed("mail") }),
      mastra,
    };
    const agent = guardAgent(config, root, { rules: { mail: "send:mail" } });
    const first = await agent.generate("mail bob");
    expect(first).toMatchObject({ finishReason: "suspended", suspendPayload: { toolName: "mail" } });
    expect(done).not.toContain("mail bob as orchestrator");
    const second = agent.resume({ approved: true }, first);
    await world.answerNext("approve");
    expect((await second).text).toBe("sent");
    expect(done).toContain("mail bob as orchestrator");
    await expect(agent.resume({ approved: true }, first)).rejects.toMatchObject({ code: "approval_unknown" });
  });

  it.each([
    ["with its next call", false],
    ["while a tool is at work", true],
  ])("stops in mid-run when its parent is stopped: %s", async (_, isAtWork) => {
    const name = isAtWork ? "at-work" : "worker";
    const parent = await world.createAgent(["use:tool", "read:web"], isAtWork ? "doomed" : "ending");
    const step = toolNamed("step", async (of) => {
      if (of === "1") await world.stopAtWork(parent, isAtWork);
      return of;
    });
    const model = scripted([["step", { of: "1" }]], [["step", { of: "2" }]], "never said");
    const worker = guardAgent(configOf(model, { step }), { name, scope: ["use:tool:step"] });
    await expect(actAs(parent, () => worker.generate("go"))).rejects.toMatchObject({ status: 401 });
    if (isAtWork) await world.expectCut(parent);
    expect(done).toContain(`step 1 as ${name}`);
    expect(done).not.toContain(`step 2 as ${name}`);
  });

  it("has no tool out of the guard's sight: none without a function, none of a sub-agent or a memory", async () => {
    const refused = expect.objectContaining({ code: "tool_unguarded" });
    const elsewhere = createTool({ id: "elsewhere", description: "e" });
    expect(() => guardTools({ elsewhere })).toThrow(refused);
    const config = { ...configOf(scripted("x"), {}), agents: {} };
    expect(() => guardAgent(config, root)).toThrow(refused);
    expect(() => guardAgent(config, root, { unguarded: ["agents"] })).not.toThrow();
  });

  it("has no tool that a run or its defaults bring along, unless it is named", async () => {
    const narrow = await world.createAgent(["use:tool:look"], "toolset");
    const refused = { code: "tool_unguarded" };
    const model = () => scripted([["slip", { of: "past" }]], "done");
    const toolsets = { more: { slip: toolNamed("slip") } };
    const agent = guardAgent(configOf(model(), {}), narrow);
    await expect(agent.generate("go", { toolsets })).rejects.toMatchObject(refused);
    await expect(agent.generate("go", { clientTools: toolsets.more })).rejects.toMatchObject(refused);
    for (const bringing of [{ defaultOptions: { toolsets } }, { inputProcessors: [] }])
      expect(() => guardAgent({ ...configOf(model(), {}), ...bringing }, narrow)).toThrow(
        expect.objectContaining(refused),
      );
    expect(done.filter((line) => line.startsWith("slip"))).toEqual([]);
    expect((await guardAgent(configOf(scripted("fine"), {}), narrow).generate("go", {})).text).toBe("fine");
  });
});
