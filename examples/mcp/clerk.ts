/** A clerk with an MCP client: which record a call is about decides whether it may be made. */
import { deepStrictEqual, strictEqual } from "node:assert";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { guardTransport } from "@trustwarden/adapters/mcp-client.ts";
import { AgentIdentity } from "trustwarden";
import { startRecords } from "./records.ts";

const records = await startRecords();
const identity = await AgentIdentity.create({ name: "clerk" });
const transport = guardTransport(new StreamableHTTPClientTransport(new URL(records.url)), {
  server: "records",
  agent: identity,
  rules: { read_record: { action: ({ id }) => `read:record:${id}` } },
});
const client = new Client({ name: "clerk", version: "1.0.0" });
await client.connect(Object(transport));

const read = (id: string) => client.callTool({ name: "read_record", arguments: { id } });
strictEqual((await read("7")).isError, undefined);
strictEqual((await read("8")).isError, true);
deepStrictEqual(records.heard, ["7"]);
console.log("Record 7 is paid; of 8 I may know nothing.");
await client.close();
records.close();
await identity.close();
