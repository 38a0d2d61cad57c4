/** A real stdio MCP server of both eras, for tests: `node mcp-stdio-server.ts`. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
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
  server.registerTool(
    "try",
    {
      description: "Tries what a program may not.",
      inputSchema: z.object({ act: z.enum(["read", "write", "connect"]), at: z.string() }),
    },
    async ({ act, at }) => ({ content: [{ type: "text", text: await attempt(act, at) }] }),
  );
  server.registerTool("die", { description: "Ends the process." }, async () => process.exit(3));
  return server;
});

async function attempt(act: "read" | "write" | "connect", at: string): Promise<string> {
  try {
    if (act === "write") writeFileSync(at, "written");
    else if (act === "connect") await dial(Number(at));
    else if (statSync(at).isDirectory()) readdirSync(at);
    else readFileSync(at);
    return "done";
  } catch (error) {
    return String(error instanceof Error && "code" in error ? error.code : error);
  }
}

function dial(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}
