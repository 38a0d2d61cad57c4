/** MCP over the official SDK: a real client and server, behind `verifyAgent` and beside it, on a real server. */

import { Client as NewClient, InMemoryTransport as NewInMemoryTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";
import type { AgentIdentity, VisitListener } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type LiveService, startLiveService } from "../sdk/live.test.support.ts";
import { actAs } from "./acting.ts";
import { guardTransport } from "./mcp-client.ts";
import { guardMcp, type McpGuard, mcpRoutes } from "./mcp-server.ts";
import { startWorld, type World } from "./world.test.support.ts";

const done: string[] = [];
/** What a tool of the server that agents visit does, once it is called; resolves when the SDK told it to end. */
let atWork: () => Promise<void> = async () => {};
let told = Promise.withResolvers<void>();
let world: World;
beforeAll(async () => {
  world = await startWorld({ asks: ["send:invoice"] });
});
afterAll(() => world?.close());

function createServer(): McpServer {
  const server = new McpServer({ name: "files", version: "1" });
  for (const name of ["find", "erase", "refund"])
    server.registerTool(name, { inputSchema: { of: z.string() } }, async ({ of }) => {
      done.push(`${name} ${of}`);
      return { content: [{ type: "text", text: `${name} of ${of}` }] };
    });
  server.registerTool("hang", {}, async ({ signal }) => {
    signal.addEventListener("abort", () => told.resolve());
    await atWork();
    return { content: [{ type: "text", text: "done all the same" }] };
  });
  server.registerTool("fail", {}, async () => ({ content: [{ type: "text", text: "no" }], isError: true }));
  return server;
}

const textOf = (result: unknown) => Object(result).content?.[0]?.text;

describe("an MCP client", () => {
  let agent: AgentIdentity;
  const connect = async (options: { readonly agent?: AgentIdentity; readonly waitsForOwner?: boolean }) => {
    const [near, far] = InMemoryTransport.createLinkedPair();
    await createServer().connect(far);
    const client = new Client({ name: "test", version: "1" });
    const rules = { refund: "send:invoice" };
    await client.connect(guardTransport(near, { server: "files", rules, ...options }));
    return client;
  };
  beforeAll(async () => {
    agent = await world.createAgent(["call:mcp:files/find", "call:mcp:files/fail"], "caller");
  });

  it("has each call decided and recorded, and gets MCP's own error for a denied one", async () => {
    const first = await world.createAgent(["call:mcp:files/find", "call:mcp:files/fail"], "first");
    const before = done.length;
    const client = await connect({ agent: first });
    expect(textOf(await client.callTool({ name: "find", arguments: { of: "a" } }))).toBe("find of a");
    const denied = await client.callTool({ name: "erase", arguments: { of: "b" } });
    expect(denied.isError).toBe(true);
    expect(textOf(denied)).toContain("denied");
    expect(textOf(await client.callTool({ name: "find", arguments: { of: "c" } }))).toBe("find of c");
    expect((await client.callTool({ name: "fail" })).isError).toBe(true);
    expect(done.slice(before)).toEqual(["find a", "find c"]);
    expect((await world.actionsOf(first)).map(({ action, outcome }) => `${action} ${outcome}`)).toEqual([
      "call:mcp:files/find success",
      "call:mcp:files/erase denied",
      "call:mcp:files/find success",
      "call:mcp:files/fail failure",
    ]);
    await client.close();
  });

  it("has no way past the guard: raw requests, unknown methods, and no agent at all", async () => {
    const client = await connect({ agent });
    const before = done.length;
    const raw = await client.request(
      { method: "tools/call", params: { name: "erase", arguments: { of: "raw" } } },
      CallToolResultSchema,
    );
    expect(raw.isError).toBe(true);
    await expect(client.request({ method: "tasks/list" }, z.object({}))).rejects.toThrow("not guarded");
    await expect(client.readResource({ uri: "file:///etc" })).rejects.toThrow("denied");
    const [near, far] = InMemoryTransport.createLinkedPair();
    const arrived: unknown[] = [];
    far.onmessage = (message) => void arrived.push(message);
    const transport = guardTransport(near, { server: "files", agent });
    const call = { jsonrpc: "2.0", method: "tools/call", params: { name: "erase", arguments: {} } };
    for (const odd of [call, [{ ...call, id: 1 }], Object({ ...call, id: null })])
      await expect(transport.send(Object(odd))).rejects.toMatchObject({ code: "tool_unguarded" });
    await transport.send({ jsonrpc: "2.0", method: "notifications/initialized" });
    expect(arrived).toMatchObject([{ method: "notifications/initialized" }]);
    const nobody = await connect({});
    await expect(nobody.callTool({ name: "find", arguments: { of: "nobody" } })).rejects.toMatchObject({
      code: "agent_missing",
    });
    expect(textOf(await actAs(agent, () => nobody.callTool({ name: "find", arguments: { of: "me" } })))).toBe(
      "find of me",
    );
    expect(done.slice(before)).toEqual(["find me"]);
  });

  it("keeps parallel calls apart, and a cancelled one is recorded as aborted", async () => {
    const lone = await world.createAgent(["call:mcp:slow/**"], "lone");
    const [near, far] = InMemoryTransport.createLinkedPair();
    const server = new McpServer({ name: "slow", version: "1" });
    const controller = new AbortController();
    server.registerTool("hang", {}, () => {
      controller.abort(new Error("enough"));
      return new Promise(() => undefined);
    });
    server.registerTool("echo", { inputSchema: { n: z.number() } }, async ({ n }) => ({
      content: [{ type: "text", text: String(n) }],
    }));
    await server.connect(far);
    const client = new Client({ name: "test", version: "1" });
    await client.connect(guardTransport(near, { server: "slow", agent: lone }));
    const all = Array.from({ length: 5 }, (_, n) => client.callTool({ name: "echo", arguments: { n } }));
    expect((await Promise.all(all)).map(textOf)).toEqual(["0", "1", "2", "3", "4"]);
    const hanging = client.callTool({ name: "hang" }, undefined, { signal: controller.signal });
    await expect(hanging).rejects.toThrow("enough");
    await expect
      .poll(async () => (await world.actionsOf(lone)).at(-1)?.outcome, { timeout: 60_000 })
      .toBe("aborted");
  });

  it("is cut in the middle of a call when its agent is stopped, and the server is told to end the work", async () => {
    const stopped = await world.createAgent(["call:mcp:slow/hang"], "stopped-at-work");
    const server = new McpServer({ name: "slow", version: "1" });
    const ended = Promise.withResolvers<string>();
    server.registerTool("hang", {}, async ({ signal }) => {
      signal.addEventListener("abort", () => ended.resolve(String(signal.reason)));
      await world.stopAtWork(stopped, true);
      return { content: [] };
    });
    const [near, far] = InMemoryTransport.createLinkedPair();
    await server.connect(far);
    const client = new Client({ name: "test", version: "1" });
    await client.connect(guardTransport(near, { server: "slow", agent: stopped }));
    const cut = await client.callTool({ name: "hang" });
    expect([cut.isError, textOf(cut)]).toEqual([true, expect.stringContaining("identity_revoked")]);
    expect(await ended.promise).toContain("The agent was stopped.");
    await world.expectCut(stopped);
    await client.close();
  });

  it("waits for its owner where that is wanted, and is refused otherwise", async () => {
    const sender = await world.createAgent(["send:invoice"], "sender");
    const impatient = await connect({ agent: sender });
    const refused = await impatient.callTool({ name: "refund", arguments: { of: "6" } });
    expect([refused.isError, textOf(refused)]).toEqual([true, expect.stringContaining("approval_required")]);
    const patient = await connect({ agent: sender, waitsForOwner: true });
    const waiting = patient.callTool({ name: "refund", arguments: { of: "7" } });
    await world.answerNext("approve");
    expect(textOf(await waiting)).toBe("refund of 7");
    expect(done).not.toContain("refund 6");
  });

  it("is guarded in the same way by the newer SDK", async () => {
    const [near, far] = NewInMemoryTransport.createLinkedPair();
    // The server of the older SDK behind the newer's pipe: the messages are the same.
    await createServer().connect(Object(far));
    const client = new NewClient({ name: "test", version: "1" });
    await client.connect(guardTransport(near, { server: "files", agent }));
    expect(textOf(await client.callTool({ name: "find", arguments: { of: "new" } }))).toBe("find of new");
    expect((await client.callTool({ name: "erase", arguments: { of: "new" } })).isError).toBe(true);
    await client.close();
  });
});

describe("an MCP server that agents visit", () => {
  let service: LiveService;
  let agent: AgentIdentity;
  beforeAll(async () => {
    // The guard needs the service, and the service its listener: the listener finds the guard when it is called.
    let made: McpGuard | undefined;
    const guard = () => {
      made ??= guardMcp(service.guardAgents, { server: "files" });
      return made;
    };
    service = await startLiveService(world.live, {
      name: "files",
      routes: mcpRoutes("files"),
      listener: (request, response, visit) =>
        guard().visited(visit, () => serve(guard(), { request, response, visit })),
    });
    agent = await world.createAgent(["list:mcp:files/server", "call:mcp:files/find"], "visitor");
  });
  afterAll(() => service?.close());

  interface Asked {
    readonly request: Parameters<VisitListener>[0];
    readonly response: Parameters<VisitListener>[1];
    readonly visit: Parameters<VisitListener>[2];
  }
  async function serve(guard: McpGuard, { request, response, visit }: Asked): Promise<void> {
    // Stateless: a server and a transport for each request.
    const transport = new StreamableHTTPServerTransport(Object({ sessionIdGenerator: undefined }));
    await createServer().connect(Object(guard.guardTransport(transport)));
    const body = visit.body.length === 0 ? undefined : JSON.parse(new TextDecoder().decode(visit.body));
    await transport.handleRequest(request, response, body);
  }

  const connect = async (who: AgentIdentity) => {
    const client = new Client({ name: "test", version: "1" });
    const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { fetch: who.fetch });
    await client.connect(Object(transport));
    return client;
  };

  it("lists exactly what it would let the caller call", async () => {
    const client = await connect(agent);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["find"]);
    const callable: string[] = [];
    for (const name of ["find", "erase", "refund", "fail"]) {
      const result = await client.callTool({ name, arguments: { of: "x" } });
      if (!textOf(result).includes("not run")) callable.push(name);
      else expect(result.isError).toBe(true);
    }
    expect(callable).toEqual(["find"]);
    await client.close();
  });

  it("knows who calls, and nobody without an identity reaches it", async () => {
    const before = done.length;
    const outsider = await world.createAgent(["call:mcp:files"], "outsider");
    await expect(connect(outsider)).rejects.toThrow();
    await expect(fetch(`${service.url}/mcp`, { method: "POST" })).rejects.toThrow();
    expect(done.length).toBe(before);
    expect(service.refusals).toContain("denied");
  });

  it("shows no tool that a call would be refused, whatever the ids of its requests", async () => {
    const questions = async (_: string, asked: readonly { readonly action: string }[]) =>
      asked.map(({ action }) => ({ allow: action.endsWith("/find"), eventId: "", reasons: [] }));
    const guard = guardMcp({ evaluate: questions }, { server: "files" });
    const [near, far] = InMemoryTransport.createLinkedPair();
    await createServer().connect(guard.guardTransport(far));
    const answers: object[] = [];
    near.onmessage = (message) => void answers.push(message);
    await near.start();
    const visit = Object({
      agent: { spiffeId: "spiffe://acme.test/a" },
      signal: new AbortController().signal,
    });
    const ask = (method: string) => near.send({ jsonrpc: "2.0", id: 7, method });
    await guard.visited(visit, () => Promise.all(["ping", "tools/list", "tools/list"].map(ask)));
    await expect.poll(() => answers.length).toBe(3);
    const shown = answers.flatMap((answer) => Object(answer).result?.tools ?? []);
    expect(new Set(shown.map(({ name }) => name))).toEqual(new Set(["find"]));
  });

  it("refuses a transport that is used without a visit, and a session of another agent", async () => {
    const allow = { evaluate: async () => [{ allow: true, eventId: "", reasons: [] }] };
    const guard = guardMcp(allow, { server: "files" });
    const [near, far] = InMemoryTransport.createLinkedPair();
    await createServer().connect(guard.guardTransport(far));
    const answers: object[] = [];
    near.onmessage = (message) => void answers.push(message);
    await near.start();
    const ping = (id: number) => near.send({ jsonrpc: "2.0", id, method: "ping" });
    const visitOf = (spiffeId: string) =>
      Object({ agent: { spiffeId }, signal: new AbortController().signal });
    await ping(1);
    await guard.visited(visitOf("spiffe://acme.test/a"), () => ping(2));
    await guard.visited(visitOf("spiffe://acme.test/b"), () => ping(3));
    await expect.poll(() => answers.length).toBe(3);
    expect(answers.toSorted((a, b) => Object(a).id - Object(b).id)).toMatchObject([
      { id: 1, error: { message: expect.stringContaining("agent_missing") } },
      { id: 2, result: {} },
      { id: 3, error: { message: expect.stringContaining("mcp_session_unknown") } },
    ]);
  });

  it("cuts a call that is at work when its agent is stopped, tells the tool, and records it as aborted", async () => {
    const stopped = await world.createAgent(["list:mcp:files/server", "call:mcp:files/hang"], "at-work");
    const client = await connect(stopped);
    told = Promise.withResolvers();
    atWork = () => world.stopAtWork(stopped, true);
    // The SDK's client waits a minute for an answer whose stream broke.
    const controller = new AbortController();
    const call = client.callTool({ name: "hang" }, undefined, { signal: controller.signal });
    const ended = expect(call).rejects.toThrow();
    await told.promise;
    const last = async () => (await world.actionsOf(stopped)).at(-1)?.outcome;
    await expect.poll(last, { timeout: 60_000 }).toBe("aborted");
    controller.abort();
    await ended;
  });

  it("stops answering an agent that was stopped", async () => {
    const stopped = await world.createAgent(["list:mcp:files/server", "call:mcp:files/find"], "stopped");
    const client = await connect(stopped);
    const target = { kind: "instance", id: stopped.instanceId };
    await world.live.admin("POST", "/v1/revocations", { target, reason: "test" });
    await expect(client.callTool({ name: "find", arguments: { of: "late" } })).rejects.toThrow();
    expect(done).not.toContain("find late");
  });
});
