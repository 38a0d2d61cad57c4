/** MCP servers behind the gateway of a world, and agents that speak to them as their clients would. */
import { createServer, type IncomingMessage } from "node:http";
import type { TestInstance } from "../../test/support/actors.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { pinAll, registerMcp } from "../../test/support/mcp.ts";
import { callGateway } from "./through-gateway.ts";
import type { World } from "./world.ts";

/** The configuration of a server with a gateway. */
export const MCP_WORLD = { configure: () => ({ gateway: { port: 0 } }) };

/** What an MCP server of an attack offers, and what it heard; the attacker may change it at any time. */
export interface McpServer {
  tools: readonly object[];
  /** Parameters of every call and read that arrived. */
  readonly heard: { readonly method: string; readonly params: Readonly<Record<string, unknown>> }[];
  readonly url: string;
  close(): void;
}

/** A server as careless as real ones: it keeps whom to answer by the request's id, for all clients together. */
export async function openMcpServer(
  tools: readonly object[],
  templates: readonly string[] = [],
): Promise<McpServer> {
  const waiting = new Map<unknown, (text: string) => void>();
  const state: { tools: readonly object[]; heard: McpServer["heard"] } = { tools, heard: [] };
  const server = createServer(async (request, response) => {
    const { id, method, params = {} } = JSON.parse((await readText(request)) || "{}");
    if (id === undefined) return void response.writeHead(202).end();
    if (method === "tools/call" || method === "resources/read") state.heard.push({ method, params });
    const result = resultOf(method, params, { tools: state.tools, templates });
    waiting.set(id, (text) => {
      if (response.headersSent) return;
      const headers = { "content-type": "application/json", ...sessionOf(method) };
      response.writeHead(200, headers).end(text);
    });
    const body = result === undefined ? { error: { code: -32601, message: "no" } } : { result };
    setTimeout(
      () => waiting.get(id)?.(JSON.stringify({ jsonrpc: "2.0", id, ...body })),
      method === "tools/call" ? 20 : 0,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return Object.assign(state, { url, close });
}

/** Registers a server, and approves what it offers now. */
export async function approveServer(
  world: World,
  { name, url, settings = {} }: { readonly name: string; readonly url: string; readonly settings?: object },
): Promise<void> {
  const sound = { recheck_seconds: 0, ...settings };
  const registered = await registerMcp(world.server, { name, url, settings: sound });
  if (registered.status !== 200) throw new Error(`upstream: ${registered.text}`);
  await pinAll(world.server, name);
}

/** One message of the older era, signed as whatever the caller says that it means. */
export async function say(
  world: World,
  agent: TestInstance,
  asked: {
    readonly upstream: string;
    readonly message: object;
    readonly action: string;
    readonly resource: string;
    readonly sessionId?: string;
  },
): Promise<RawAnswer> {
  const { upstream, message, action, resource, sessionId } = asked;
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2025-11-25",
    ...(sessionId === undefined ? {} : { "mcp-session-id": sessionId }),
  };
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  const aud = await world.serverId();
  const target = `/${upstream}/mcp`;
  const intent = { action, resource };
  return callGateway(world, agent, { method: "POST", target, body, aud, action, intent, headers });
}

/** A tool's call, signed as what it is. */
export function callTool(
  world: World,
  agent: TestInstance,
  asked: {
    readonly upstream: string;
    readonly tool: string;
    readonly values: object;
    readonly id?: number;
    readonly sessionId?: string;
  },
): Promise<RawAnswer> {
  const { upstream, tool, values, id = 1, sessionId } = asked;
  return say(world, agent, {
    upstream,
    message: { id, method: "tools/call", params: { name: tool, arguments: values } },
    action: `call:mcp:${upstream}/${tool}`,
    resource: `mcp://${upstream}/tools/${tool}`,
    ...(sessionId === undefined ? {} : { sessionId }),
  });
}

/** Opens a session of the older era. @returns its id. */
export async function openSession(world: World, agent: TestInstance, upstream: string): Promise<string> {
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const answer = await say(world, agent, {
    upstream,
    message: { id: 1, method: "initialize", params },
    action: `list:mcp:${upstream}/server`,
    resource: `mcp://${upstream}/server`,
  });
  const sessionId = answer.headers["mcp-session-id"];
  if (typeof sessionId !== "string") throw new Error(`no session: ${answer.status} ${answer.text}`);
  return sessionId;
}

/** The code of ours in a refusal. */
export function mcpCodeOf({ text }: RawAnswer): unknown {
  try {
    return JSON.parse(text).error?.data?.code;
  } catch {
    return undefined;
  }
}

function resultOf(
  method: string,
  params: { readonly arguments?: unknown },
  { tools, templates }: { readonly tools: readonly object[]; readonly templates: readonly string[] },
): object | undefined {
  const offered = { tools: {}, ...(templates.length === 0 ? {} : { resources: {} }) };
  const description = { capabilities: offered, serverInfo: { name: "s", version: "1" } };
  if (method === "initialize") return { protocolVersion: "2025-11-25", ...description };
  if (method === "tools/list") return { tools };
  if (method === "resources/templates/list")
    return { resourceTemplates: templates.map((uriTemplate) => ({ uriTemplate, name: uriTemplate })) };
  if (method === "resources/list" && templates.length > 0) return { resources: [] };
  if (method === "tools/call") return { content: [{ type: "text", text: JSON.stringify(params.arguments) }] };
  return method === "resources/read" ? { contents: [] } : undefined;
}

function sessionOf(method: string): Readonly<Record<string, string>> {
  return method === "initialize" ? { "mcp-session-id": crypto.randomUUID() } : {};
}

async function readText(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString();
}
