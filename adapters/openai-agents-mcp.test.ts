/** OpenAI Agents with the tools of MCP servers, on a real server of ours. `examples/openai-agents-js/clerk.ts` has a real one of MCP. */
import { Agent, type MCPServer, RunContext } from "@openai/agents";
import type { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resultsOf, scripted } from "./openai-agents.test.support.ts";
import { guardAgent } from "./openai-agents.ts";
import { guardMcpServers } from "./openai-agents-mcp.ts";
import { startWorld, type World } from "./world.test.support.ts";

type McpTool = Awaited<ReturnType<MCPServer["listTools"]>>[number];

const RULES = { read: { action: ({ id }: { readonly id?: unknown }) => `read:record:${id}` } };

/** A server with these tools, which notes what it is called with; `broken` answers with a failure. */
function serverOf(...names: readonly string[]): MCPServer & { readonly heard: string[] } {
  const heard: string[] = [];
  const listed = (name: string): McpTool => ({
    name,
    description: name,
    inputSchema: {
      type: "object",
      properties: { id: { type: "string" } },
      required: ["id"],
      additionalProperties: false,
    },
  });
  return {
    name: "records",
    cacheToolsList: false,
    heard,
    connect: async () => {},
    close: async () => {},
    invalidateToolsCache: async () => {},
    listTools: async () => names.map(listed),
    callTool: async (name, input) => {
      heard.push(`${name} ${input?.id}`);
      const content = [{ type: "text", text: `${name} of ${input?.id}` }];
      return Object.assign(content, name === "broken" && { isError: true });
    },
  };
}

let world: World;
let root: AgentIdentity;
beforeAll(async () => {
  world = await startWorld();
  root = await world.createAgent(["use:tool", "send:mail", "read:record"]);
});
afterAll(() => world?.close());

describe("an MCP server of an agent of OpenAI Agents", () => {
  it("hears of a call only when its arguments are allowed, and each has its outcome in the ledger", async () => {
    const narrow = await world.createAgent(["read:record:7", "use:tool:broken"], "narrow");
    const server = serverOf("read", "broken", "other");
    const calls = ["read 7", "read 8", "broken 9", "other 9"].map((line) => {
      const [name = "", id] = line.split(" ");
      return [[name, { id }]] as const;
    });
    const settings = { name: "narrow", model: scripted(...calls, "all I could"), mcpServers: [server] };
    const result = await guardAgent(settings, narrow, { rules: RULES }).run("go");
    expect(result.finalOutput).toBe("all I could");
    expect(server.heard).toEqual(["read 7", "broken 9"]);
    expect(resultsOf(result)).toEqual([
      expect.stringContaining("read of 7"),
      expect.stringContaining("not run (denied)"),
      expect.stringContaining("broken of 9"),
      expect.stringContaining("not run (denied)"),
    ]);
    const seen = (await world.actionsOf(narrow)).map(({ action, outcome }) => `${action} ${outcome}`);
    expect(seen).toEqual([
      "read:record:7 success",
      "read:record:8 denied",
      "use:tool:broken failure",
      "use:tool:other denied",
    ]);
  });

  it("is asked by the name that the model knows, and by the whole result too", async () => {
    const narrow = await world.createAgent(["use:tool:mcp_records__read"], "prefixed");
    const { callTool, ...server } = serverOf("read", "other");
    const structured: MCPServer = {
      ...server,
      callTool,
      useStructuredContent: true,
      callToolResult: async (...given) => ({
        content: await callTool(...given),
        structuredContent: { id: 7 },
      }),
    };
    const shown = await new Agent({
      name: "shown",
      mcpServers: [structured],
      mcpConfig: { includeServerInToolNames: true },
    }).getMcpTools(new RunContext());
    const [read = "", other = ""] = shown.map(({ name }) => name);
    expect(read).toBe("mcp_records__read");
    const model = scripted([[read, { id: "7" }]], [[other, { id: "7" }]], "done");
    const mcpConfig = { includeServerInToolNames: true };
    const agent = guardAgent({ name: "prefixed", model, mcpServers: [structured], mcpConfig }, narrow);
    const results = resultsOf(await agent.run("go"));
    expect(results).toEqual([expect.stringContaining('"id":7'), expect.stringContaining("not run (denied)")]);
    expect(server.heard).toEqual(["read 7"]);
  });

  it("waits for a human as a tool of the process does", async () => {
    const server = serverOf("mail");
    const model = scripted([["mail", { id: "bob" }]], "sent");
    const agent = guardAgent({ name: "mailer", model, mcpServers: [server] }, root, {
      rules: { mail: "send:mail" },
    });
    const first = await agent.run("mail bob");
    expect(first.interruptions).toHaveLength(1);
    expect(server.heard).toEqual([]);
    for (const interruption of first.interruptions) first.state.approve(interruption);
    const second = agent.run(first.state);
    await world.answerNext("approve");
    expect((await second).finalOutput).toBe("sent");
    expect(server.heard).toEqual(["mail bob"]);
  });

  it("refuses what comes to it past the SDK's tool", async () => {
    const server = serverOf("read");
    const agent = new Agent({ name: "a", mcpServers: [server] });
    guardMcpServers(agent, { needsApproval: async () => false, run: (_, work) => work() });
    const [guarded] = agent.mcpServers;
    const refused = expect.objectContaining({ code: "tool_unguarded" });
    await expect(guarded?.callTool("read", { id: "7" })).rejects.toEqual(refused);
    expect(guarded).not.toHaveProperty("callToolResult");
    expect(server.heard).toEqual([]);
  });
});
