/** A clerk with the tools of an MCP server: which record a call is about decides whether it may be made. */
import { deepStrictEqual } from "node:assert";
import { MCPClient } from "@mastra/mcp";
import { guardAgent } from "@trustwarden/adapters/mastra.ts";
import { AgentIdentity } from "trustwarden";
import { startRecords } from "../mcp/records.ts";
import { clerkModel } from "./model.ts";

const records = await startRecords();
const client = new MCPClient({ servers: { records: { url: new URL(records.url) } } });

const identity = await AgentIdentity.create({ name: "clerk" });
const clerk = guardAgent(
  {
    id: "clerk",
    name: "clerk",
    instructions: "Look it up.",
    model: clerkModel,
    tools: await client.listTools(),
  },
  identity,
  { rules: { records_read_record: { action: ({ id }) => `read:record:${id}` } } },
);

const { text } = await clerk.generate("Are records 7 and 8 paid?");
deepStrictEqual(records.heard, ["7"]);
console.log(text);
await client.disconnect();
records.close();
await identity.close();
