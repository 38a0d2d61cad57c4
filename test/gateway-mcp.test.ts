/** MCP through the gateway with the official clients and servers of both eras: what passes, what is hidden, what is cut. */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, serverIdOf, type TestInstance, type TestOwner } from "./support/actors.ts";
import { createGatewayFetch, pinAll, registerMcp } from "./support/mcp.ts";
import { type RunningMcpServer, startLegacyServer, startModernServer } from "./support/mcp-servers.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const SETTINGS = {
  recheck_seconds: 0,
  tools: { find: { read_only: true }, remove: { action: "delete:thing:{id}" } },
};
const LEGACY_SETTINGS = { recheck_seconds: 0 };

let server: TestServer;
let aud: string;
let owner: TestOwner;
let modern: RunningMcpServer;
let legacy: RunningMcpServer;

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  aud = await serverIdOf(server);
  owner = await createOwner(server);
  modern = await startModernServer();
  legacy = await startLegacyServer();
  expect((await registerMcp(server, { name: "search", url: modern.url, settings: SETTINGS })).status).toBe(
    200,
  );
  expect(
    (await registerMcp(server, { name: "old", url: legacy.url, settings: LEGACY_SETTINGS })).status,
  ).toBe(200);
  await pinAll(server, "search");
  await pinAll(server, "old");
});
afterAll(async () => {
  await server.close();
  modern.close();
  legacy.close();
  server.home.remove();
});

let names = 0;
function enrol(scope: readonly string[]): Promise<TestInstance> {
  names += 1;
  return enrolAgent(server, owner, { name: `agent-${names}`, scope });
}

function fetchOf(agent: TestInstance, name: string, settings: JsonObject) {
  return createGatewayFetch({
    gatewayUrl: server.gatewayUrl ?? "",
    aud,
    agent,
    upstream: { name, settings },
  });
}

async function connectModern(agent: TestInstance): Promise<Client> {
  const client = new Client({ name: "test", version: "1" }, {
    versionNegotiation: { mode: "auto" },
  } as never);
  const fetch = fetchOf(agent, "search", SETTINGS);
  await client.connect(
    new StreamableHTTPClientTransport(new URL("http://gateway.test/mcp"), { fetch: fetch as never }),
  );
  return client;
}

async function connectLegacy(
  agent: TestInstance,
  settings: JsonObject = LEGACY_SETTINGS,
): Promise<LegacyClient> {
  const client = new LegacyClient({ name: "test", version: "1" }, { capabilities: { elicitation: {} } });
  const fetch = fetchOf(agent, "old", settings);
  await client.connect(new LegacyTransport(new URL("http://gateway.test/mcp"), { fetch }) as never);
  return client;
}

describe("the stateless era", () => {
  it("lists exactly what may be called, calls it, and nothing else", async () => {
    const agent = await enrol([
      "list:mcp:search/**",
      "read:mcp:search/tools/find",
      "get:mcp:search/prompts/greet",
    ]);
    const client = await connectModern(agent);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["find"]);
    expect(tools[0]?.description).toBe("Finds things.");
    const progress: unknown[] = [];
    const result = await client.callTool({ name: "find", arguments: { text: "x" } }, {
      onprogress: (at: unknown) => progress.push(at),
    } as never);
    expect(result.content).toEqual([{ type: "text", text: "found x" }]);
    expect(progress).toEqual([{ progress: 1, total: 2 }]);
    await expect(client.callTool({ name: "remove", arguments: { id: "1" } })).rejects.toThrow();
    expect((await client.listPrompts()).prompts.map(({ name }) => name)).toEqual(["greet"]);
    const prompt = await client.getPrompt({ name: "greet", arguments: { who: "you" } });
    expect(prompt.messages[0]?.content).toEqual({ type: "text", text: "Hello you" });
    expect((await client.listResources()).resources).toEqual([]);
    await expect(client.readResource({ uri: "note://all/first" })).rejects.toThrow();
    await client.close();
  });
});

describe("the older era", () => {
  it("keeps a session, lists and calls", async () => {
    const agent = await enrol(["list:mcp:old/**", "call:mcp:old/find"]);
    const client = await connectLegacy(agent);
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["find"]);
    const result = await client.callTool({ name: "find", arguments: { text: "y" } });
    expect(result.content).toEqual([{ type: "text", text: "found y" }]);
    await client.close();
  });

  it("answers what a server asks its client with a refusal, unless the settings allow it", async () => {
    const agent = await enrol(["list:mcp:old/**", "call:mcp:old/ask", "reply:mcp:old/server"]);
    const client = await connectLegacy(agent);
    client.setRequestHandler(ElicitRequestSchema, async () => ({
      action: "accept",
      content: { name: "Ann" },
    }));
    const refused = await client.callTool({ name: "ask" });
    expect(JSON.stringify(refused)).not.toContain("Ann");
    await client.close();
  });
});
