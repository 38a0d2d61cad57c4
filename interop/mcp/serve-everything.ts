/** The server of `everything-server.ts` on loopback: the stateless era by `createMcpHandler`, the older one with sessions. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import {
  createMcpHandler,
  isLegacyRequest,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import { createEverything } from "./everything-server.ts";

/** Serves both eras on one endpoint, on loopback. */
export async function startEverything(): Promise<{ readonly url: string; readonly close: () => void }> {
  const modern = createMcpHandler(createEverything, { legacy: "reject" });
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>();
  const legacy = async (request: Request): Promise<Response> => {
    const id = request.headers.get("mcp-session-id");
    const known = id === null ? undefined : sessions.get(id);
    if (known !== undefined) return known.handleRequest(request);
    if (id !== null) return new Response(null, { status: 404 });
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (made) => void sessions.set(made, transport),
    });
    await createEverything().connect(transport);
    return transport.handleRequest(request);
  };
  const server = createServer(async (incoming, response) => {
    const request = toRequest(incoming);
    const answer = (await isLegacyRequest(request)) ? await legacy(request) : await modern.fetch(request);
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body === null) return void response.end();
    const body = Readable.fromWeb(answer.body as never);
    body.on("error", () => response.destroy());
    response.on("close", () => body.destroy());
    body.pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

function toRequest(incoming: IncomingMessage): Request {
  return new Request(`http://${incoming.headers.host}${incoming.url}`, {
    method: incoming.method ?? "GET",
    headers: incoming.headers as Record<string, string>,
    ...(incoming.method === "POST" ? { body: Readable.toWeb(incoming), duplex: "half" } : {}),
  } as RequestInit);
}
