/** An MCP server that agents visit: who calls is proven, and each tool is decided by the engine. */
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { guardMcp, mcpRoutes } from "@trustwarden/adapters/mcp-server.ts";
import { verifyAgent } from "trustwarden";
import { z } from "zod";

/** What the tools did. */
export const done: string[] = [];

function createFiles(): McpServer {
  const server = new McpServer({ name: "files", version: "1.0.0" });
  for (const name of ["read_page", "delete_page"])
    server.registerTool(name, { inputSchema: { page: z.string() } }, async ({ page }) => {
      done.push(`${name} ${page}`);
      return { content: [{ type: "text", text: `${page}: arrives tomorrow` }] };
    });
  return server;
}

/** Starts the server on a free port of this machine. @param ticket - a verifier's. */
export async function startFiles(
  ticket: string,
): Promise<{ readonly url: URL; readonly close: () => Promise<void> }> {
  const agents = await verifyAgent({ routes: mcpRoutes("files"), ticket });
  const guard = guardMcp(agents, { server: "files" });
  const server = agents.createServer((request, response, visit) =>
    guard.visited(visit, async () => {
      // Stateless: a server and a transport for each message.
      const transport = new StreamableHTTPServerTransport(Object({ sessionIdGenerator: undefined }));
      await createFiles().connect(Object(guard.guardTransport(transport)));
      const { body } = visit;
      const message: unknown = body.length === 0 ? undefined : JSON.parse(new TextDecoder().decode(body));
      await transport.handleRequest(request, response, message);
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port }: Pick<AddressInfo, "port"> = Object(server.address());
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await agents.close();
  };
  return { url: new URL(`https://127.0.0.1:${port}/mcp`), close };
}
