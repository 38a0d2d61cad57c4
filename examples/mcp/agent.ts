/** An agent with an MCP client: at a server that knows it, and at one that knows nobody. */
import { deepStrictEqual, strictEqual } from "node:assert";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { guardTransport } from "@trustwarden/adapters/mcp-client.ts";
import { AgentIdentity } from "trustwarden";
import { done, startFiles } from "./server.ts";

const identity = await AgentIdentity.create({ name: "support" });

// A server behind verifyAgent: it decides, and lists what it would let this agent call.
const files = await startFiles(process.env.SERVICE_TICKET ?? "");
const visiting = new Client({ name: "support", version: "1.0.0" });
await visiting.connect(Object(new StreamableHTTPClientTransport(files.url, { fetch: identity.fetch })));
const { tools } = await visiting.listTools();
deepStrictEqual(
  tools.map(({ name }) => name),
  ["read_page"],
);
await visiting.callTool({ name: "read_page", arguments: { page: "parcels/7" } });
const refused = await visiting.callTool({ name: "delete_page", arguments: { page: "parcels/7" } });
strictEqual(refused.isError, true);
deepStrictEqual(done, ["read_page parcels/7"]);

// Any other server: the client decides and records each call before it goes out.
const [near, far] = InMemoryTransport.createLinkedPair();
const clock = new McpServer({ name: "clock", version: "1.0.0" });
clock.registerTool("now", {}, async () => ({ content: [{ type: "text", text: "noon" }] }));
clock.registerTool("set", {}, async () => ({ content: [{ type: "text", text: "set" }] }));
await clock.connect(far);
const guarded = new Client({ name: "support", version: "1.0.0" });
await guarded.connect(guardTransport(near, { server: "clock", agent: identity }));
strictEqual((await guarded.callTool({ name: "now" })).isError, undefined);
strictEqual((await guarded.callTool({ name: "set" })).isError, true);

console.log("listed and called read_page and now; delete_page and set were refused");
await visiting.close();
await guarded.close();
await files.close();
await identity.close();
