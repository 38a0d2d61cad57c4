/** Real MCP servers on loopback for tests, made with the official SDKs of both eras. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { McpServer as LegacyServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";

/** What the tests change while the servers run, and what they saw. */
export interface McpWorld {
  /** Description of the tool `find`. */
  description: string;
  /** Names of more tools. */
  extra: string[];
  /** Arguments of every call of a tool. */
  readonly calls: unknown[];
  /** Headers of every request. */
  readonly heads: IncomingMessage["headers"][];
}

export interface RunningMcpServer {
  readonly url: string;
  readonly world: McpWorld;
  close(): void;
}

/** A server of the stateless era, which also answers the other one without sessions. */
export function startModernServer(): Promise<RunningMcpServer> {
  const world: McpWorld = { description: "Finds things.", extra: [], calls: [], heads: [] };
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: "modern", version: "1" }, { instructions: "Be careful." });
    defineTools(server, world);
    server.registerResource("note", "note://all/first", { mimeType: "text/plain" }, (uri) => ({
      contents: [{ uri: uri.href, text: "first" }],
    }));
    server.registerPrompt("greet", { argsSchema: z.object({ who: z.string() }) }, ({ who }) => ({
      messages: [{ role: "user", content: { type: "text", text: `Hello ${who}` } }],
    }));
    return server;
  });
  return listen(world, async (request, response) => {
    const answer = await handler.fetch(toRequest(request));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body === null) response.end();
    else Readable.fromWeb(answer.body as never).pipe(response);
  });
}

/** A server of the older era, with sessions, made with the SDK of that era. */
export function startLegacyServer(): Promise<RunningMcpServer> {
  const world: McpWorld = { description: "Finds things.", extra: [], calls: [], heads: [] };
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  return listen(world, async (request, response) => {
    const id = request.headers["mcp-session-id"];
    let transport = typeof id === "string" ? sessions.get(id) : undefined;
    if (transport === undefined && id !== undefined) return void response.writeHead(404).end();
    if (transport === undefined) {
      const made = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => crypto.randomUUID(),
        onsessioninitialized: (sessionId) => void sessions.set(sessionId, made),
      });
      transport = made;
      const server = new LegacyServer({ name: "legacy", version: "1" });
      defineTools(server, world);
      server.registerTool("ask", {}, async () => {
        const answer = await server.server.elicitInput({
          message: "Name?",
          requestedSchema: { type: "object", properties: { name: { type: "string" } } },
        });
        return { content: [{ type: "text", text: JSON.stringify(answer) }] };
      });
      await server.connect(made as never);
    }
    await transport.handleRequest(request, response);
  });
}

function defineTools(server: McpServer | LegacyServer, world: McpWorld): void {
  const register = server.registerTool.bind(server) as McpServer["registerTool"];
  register(
    "find",
    { description: world.description, inputSchema: z.object({ text: z.string().max(100) }) },
    async ({ text }, context) => {
      world.calls.push({ find: text });
      await reportProgress(context);
      return { content: [{ type: "text", text: `found ${text}` }] };
    },
  );
  register("remove", { inputSchema: z.object({ id: z.string() }) }, async ({ id }) => {
    world.calls.push({ remove: id });
    return { content: [{ type: "text", text: `removed ${id}` }] };
  });
  for (const name of world.extra) {
    register(name, { inputSchema: z.object({}) }, async () => ({ content: [{ type: "text", text: name }] }));
  }
}

/** Says progress where the client asked for it; the two SDKs hand the means over in different places. */
async function reportProgress(context: unknown): Promise<void> {
  const { mcpReq, sendNotification, _meta } = context as {
    mcpReq?: { _meta?: { progressToken?: string | number }; notify: (message: object) => Promise<void> };
    sendNotification?: (message: object) => Promise<void>;
    _meta?: { progressToken?: string | number };
  };
  const progressToken = mcpReq?._meta?.progressToken ?? _meta?.progressToken;
  if (progressToken === undefined) return;
  const message = { method: "notifications/progress", params: { progressToken, progress: 1, total: 2 } };
  await (mcpReq?.notify ?? sendNotification)?.(message);
}

function listen(
  world: McpWorld,
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<RunningMcpServer> {
  const server = createServer((request, response) => {
    world.heads.push(request.headers);
    handle(request, response).catch(() => response.destroy());
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" ? address?.port : 0;
      const close = (): void => {
        server.closeAllConnections();
        server.close();
      };
      resolve({ url: `http://127.0.0.1:${port}`, world, close });
    });
  });
}

function toRequest(request: IncomingMessage): Request {
  const hasBody = request.method === "POST";
  const abort = new AbortController();
  request.once("close", () => {
    if (!request.complete) abort.abort();
  });
  return new Request(`http://${request.headers.host}${request.url}`, {
    method: request.method ?? "GET",
    headers: request.headers as Record<string, string>,
    signal: abort.signal,
    ...(hasBody ? { body: Readable.toWeb(request), duplex: "half" } : {}),
  } as RequestInit);
}
