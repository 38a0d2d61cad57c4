/** A real stdio MCP server of both eras, for tests: `node mcp-stdio-server.ts`. */
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

serveStdio(() => {
  const server = new McpServer({ name: "stdio", version: "1" });
  server.registerTool(
    "find",
    { description: "Finds.", inputSchema: z.object({ text: z.string() }) },
    async ({ text }) => ({
      content: [{ type: "text", text: `found ${text}` }],
    }),
  );
  server.registerTool("about", { description: "Tells of the process." }, async () => ({
    content: [{ type: "text", text: JSON.stringify({ env: process.env, pid: process.pid }) }],
  }));
  server.registerTool("die", { description: "Ends the process." }, async () => process.exit(3));
  return server;
});
