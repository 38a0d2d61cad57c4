/** An MCP server of the official SDK that knows nothing of TrustWarden and answers whoever asks. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

/** A server that runs. */
export interface Records {
  readonly url: string;
  /** The records that it was asked for. */
  readonly heard: readonly string[];
  readonly close: () => void;
}

/** Starts it on a free port of this machine. */
export async function startRecords(): Promise<Records> {
  const heard: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // Stateless: a server and a transport for each message.
    const transport = new StreamableHTTPServerTransport(Object({ sessionIdGenerator: undefined }));
    await createRecords(heard).connect(Object(transport));
    await transport.handleRequest(request, response);
  };
  const server = createServer((request, response) => {
    // A stream for notifications, which this server has none of.
    if (request.method === "POST") answer(request, response).catch(() => response.destroy());
    else response.writeHead(405).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port }: Pick<AddressInfo, "port"> = Object(server.address());
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}/mcp`, heard, close };
}

function createRecords(heard: string[]): McpServer {
  const server = new McpServer({ name: "records", version: "1.0.0" });
  const settings = { description: "Reads a record.", inputSchema: { id: z.string() } };
  server.registerTool("read_record", settings, async ({ id }) => {
    heard.push(id);
    return { content: [{ type: "text", text: `record ${id}: paid` }] };
  });
  return server;
}
