/** LangChain.js and LangGraph themselves, with a model that follows a script, on a real server. */
import { type BaseMessage, ToolMessage } from "@langchain/core/messages";
import { fakeModel } from "@langchain/core/testing";
import { tool } from "@langchain/core/tools";
import { Annotation, Command, END, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { AIMessage, createMiddleware } from "langchain";
import type { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { actAs, currentAgent } from "./acting.ts";
import { guardAgent, guardNode, guardTools } from "./langchain.ts";
import { startWorld, type World } from "./world.test.support.ts";

const done: string[] = [];
let calls = 0;
/** A model that says what the script says, step by step. */
function scripted(...steps: readonly (string | readonly (readonly [string, object])[])[]) {
  const model = fakeModel();
  for (const step of steps) {
    if (typeof step === "string") model.respond(new AIMessage(step));
    else
      model.respondWithTools(
        step.map(([name, args]) => {
          calls += 1;
          return { name, args, id: `call-${calls}` };
        }),
      );
  }
  return model;
}
const toolNamed = (name: string) =>
  tool(
    async ({ of }: { of: string }) => {
      done.push(`${name} ${of} as ${currentAgent()?.name}`);
      return `${name} of ${of}`;
    },
    { name, description: name, schema: z.object({ of: z.string() }) },
  );
const lastOf = (result: Record<string, unknown>): string => Object(result.messages).at(-1).content;
const toolMessagesOf = (result: Record<string, unknown>): readonly ToolMessage[] =>
  Object(result.messages).filter((message: BaseMessage) => message instanceof ToolMessage);

let world: World;
let root: AgentIdentity;
beforeAll(async () => {
  world = await startWorld();
  root = await world.createAgent(["use:tool", "send:mail", "read:web"]);
});
afterAll(() => world?.close());

describe("an agent of LangChain.js", () => {
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
        tools: [toolNamed("look"), toolNamed("erase")],
      },
      narrow,
    );
    const result = await agent.invoke({ messages: [{ role: "user", content: "go" }] });
    expect(lastOf(result)).toBe("all I could");
    const said = toolMessagesOf(result);
    expect(said.map(({ name, status }) => `${name} ${status}`).sort()).toEqual([
      "erase error",
      "look success",
    ]);
    expect(done.filter((line) => line.startsWith("erase"))).toEqual([]);
    expect(
      (await world.actionsOf(narrow)).map(({ action, outcome }) => `${action} ${outcome}`).sort(),
    ).toEqual(["use:tool:erase denied", "use:tool:look success"]);
  });

  it("is called by another as its child, and is over with its run", async () => {
    let id = "";
    const fetch = tool(
      async () => {
        id = currentAgent()?.id ?? "";
        return "page";
      },
      { name: "fetch", description: "f", schema: z.object({}) },
    );
    const reader = guardAgent(
      { model: scripted([["fetch", {}]], "read"), tools: [fetch] },
      { name: "reader", scope: ["read:web"] },
      { rules: { fetch: "read:web" } },
    );
    const delegate = tool(
      async () => lastOf(await reader.invoke({ messages: [{ role: "user", content: "read" }] })),
      {
        name: "delegate",
        description: "d",
        schema: z.object({}),
      },
    );
    const boss = guardAgent({ model: scripted([["delegate", {}]], "done"), tools: [delegate] }, root);
    const result = await boss.invoke({ messages: [{ role: "user", content: "go" }] });
    expect(toolMessagesOf(result).map(({ content }) => content)).toEqual(["read"]);
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

  it("interrupts its graph to ask a human, and goes on when the owner has said yes", async () => {
    const agent = guardAgent(
      {
        model: scripted([["mail", { of: "bob" }]], "sent"),
        tools: [toolNamed("mail")],
        checkpointer: new MemorySaver(),
      },
      root,
      { rules: { mail: "send:mail" } },
    );
    const config = { configurable: { thread_id: "1" } };
    const first = await agent.invoke({ messages: [{ role: "user", content: "mail bob" }] }, config);
    expect(first.__interrupt__).toMatchObject([{ value: { action: "send:mail", params: { of: "bob" } } }]);
    expect(done).not.toContain("mail bob as orchestrator");
    const second = agent.invoke(new Command({ resume: { approved: true } }), config);
    await world.answerNext("approve");
    expect(lastOf(await second)).toBe("sent");
    expect(done).toContain("mail bob as orchestrator");
  });

  it("is told no by the user who resumes, or refused where nothing can be interrupted", async () => {
    const settings = (checkpointer?: MemorySaver) => ({
      model: scripted([["mail", { of: "eve" }]], "not sent"),
      tools: [toolNamed("mail")],
      ...(checkpointer && { checkpointer }),
    });
    const rules = { mail: "send:mail" };
    const ask = { messages: [{ role: "user", content: "mail eve" }] };
    const config = { configurable: { thread_id: "2" } };
    const asking = guardAgent(settings(new MemorySaver()), root, { rules });
    await asking.invoke(ask, config);
    const told = await asking.invoke(new Command({ resume: false }), config);
    expect(toolMessagesOf(told).at(-1)).toMatchObject({
      status: "error",
      content: expect.stringContaining("approval_denied"),
    });
    const refused = await guardAgent(settings(), root, { rules }).invoke(ask);
    expect(toolMessagesOf(refused).at(-1)).toMatchObject({ status: "error" });
    expect(done).not.toContain("mail eve as orchestrator");
  });

  it("streams, with the same decisions", async () => {
    const agent = guardAgent(
      { model: scripted([["hide", { of: "y" }]], "counted"), tools: [toolNamed("hide")] },
      await world.createAgent(["use:tool:count"], "counter"),
    );
    let text = "";
    for await (const part of agent.stream({ messages: [{ role: "user", content: "go" }] }))
      text += JSON.stringify(part);
    expect(text).toContain("hide was not run (denied)");
    expect(text).toContain("counted");
  });

  it.each([
    ["with its next call", false],
    ["while a tool is at work", true],
  ])("stops in mid-run when its parent is stopped: %s", async (_, isAtWork) => {
    const name = isAtWork ? "at-work" : "worker";
    const parent = await world.createAgent(["use:tool", "read:web"], isAtWork ? "doomed" : "ending");
    const step = tool(
      async ({ of }: { of: string }) => {
        done.push(`step ${of}`);
        if (of === "1") await world.stopAtWork(parent, isAtWork);
        return of;
      },
      { name: "step", description: "s", schema: z.object({ of: z.string() }) },
    );
    const worker = guardAgent(
      { model: scripted([["step", { of: "1" }]], [["step", { of: "2" }]], "never said"), tools: [step] },
      { name, scope: ["use:tool:step"] },
    );
    const run = actAs(parent, () => worker.invoke({ messages: [{ role: "user", content: "go" }] }));
    await expect(run).rejects.toMatchObject({ status: 401 });
    if (isAtWork) await world.expectCut(parent);
    expect(done).not.toContain("step 2");
  });

  it("guards a tool that is called by hand, and none that the provider would run", async () => {
    const narrow = await world.createAgent(["use:tool:look"], "by-hand");
    const [look, erase] = guardTools([toolNamed("look"), toolNamed("erase")], { agent: narrow });
    expect(await Object(look).invoke({ of: "hand" })).toBe("look of hand");
    await expect(Object(erase).invoke({ of: "hand" })).rejects.toMatchObject({ code: "denied" });
    expect(() => guardTools([{ type: "web_search" }])).toThrow(
      expect.objectContaining({ code: "tool_unguarded" }),
    );
    expect(guardTools([{ type: "web_search" }], { unguarded: ["web_search"] })).toHaveLength(1);
  });

  it("guards the tools that a middleware brings along", async () => {
    const narrow = await world.createAgent(["use:tool:look"], "with-middleware");
    const agent = guardAgent(
      {
        model: scripted([["slip", { of: "past" }]], "done"),
        tools: [toolNamed("look")],
        middleware: [createMiddleware({ name: "more", tools: [toolNamed("slip")] })],
      },
      narrow,
    );
    const result = await agent.invoke({ messages: [{ role: "user", content: "go" }] });
    expect(toolMessagesOf(result).map(({ name, status }) => `${name} ${status}`)).toEqual(["slip error"]);
    expect(done.filter((line) => line.startsWith("slip"))).toEqual([]);
    const provided = createMiddleware({ name: "more", tools: [{ type: "web_search" }] });
    expect(() => guardAgent({ model: scripted("x"), middleware: [provided] }, narrow)).toThrow(
      expect.objectContaining({ code: "tool_unguarded" }),
    );
  });

  it("runs a tool with what was decided about, where its schema changes its arguments", async () => {
    const paid: number[] = [];
    const pay = tool(
      async ({ cents }: { cents: number }) => {
        paid.push(cents);
        return ["paid", { cents }];
      },
      {
        name: "pay",
        description: "p",
        schema: z.object({ cents: z.number().transform((euros) => euros * 100) }),
        responseFormat: "content_and_artifact",
      },
    );
    const asked: unknown[] = [];
    const action = (input: object) => {
      asked.push(input);
      return "use:tool:pay";
    };
    const agent = guardAgent({ model: scripted([["pay", { cents: 3 }]], "paid"), tools: [pay] }, root, {
      rules: { pay: { action } },
    });
    const result = await agent.invoke({ messages: [{ role: "user", content: "go" }] });
    expect([asked.at(-1), paid]).toEqual([{ cents: 300 }, [300]]);
    expect(toolMessagesOf(result)).toMatchObject([{ content: "paid", artifact: { cents: 300 } }]);
  });
});

describe("a node of a LangGraph graph", () => {
  it("is an agent of its own, child of whoever runs the graph", async () => {
    const State = Annotation.Root({
      log: Annotation<readonly string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
    });
    const ids: string[] = [];
    const node = (name: string) =>
      guardNode({ name, scope: [`use:tool:${name}`] }, async (_: typeof State.State, __, agent) => {
        ids.push(agent.id);
        const [used] = guardTools([toolNamed(name)], { agent });
        return { log: [String(await Object(used).invoke({ of: "graph" }))] };
      });
    const graph = new StateGraph(State)
      .addNode("plan", node("plan"))
      .addNode("work", node("work"))
      .addEdge(START, "plan")
      .addEdge("plan", "work")
      .addEdge("work", END)
      .compile();
    const { log } = await actAs(root, () => graph.invoke({ log: [] }));
    expect(log).toEqual(["plan of graph", "work of graph"]);
    expect(ids.map((id) => /\/(\w+)\/inst-/.exec(id)?.[1])).toEqual(["plan", "work"]);
  });
});
