/** A clerk with the tools of an MCP server: which record a call is about decides whether it may be made. */
import { deepStrictEqual } from "node:assert";
import { MCPServerStreamableHttp } from "@openai/agents";
import { guardAgent } from "@trustwarden/adapters/openai-agents.ts";
import { AgentIdentity } from "trustwarden";
import { startRecords } from "../mcp/records.ts";
import { clerkModel } from "./model.ts";

const records = await startRecords();
const server = new MCPServerStreamableHttp({ url: records.url, name: "records" });
await server.connect();

const identity = await AgentIdentity.create({ name: "clerk" });
const clerk = guardAgent({ name: "clerk", model: clerkModel, mcpServers: [server] }, identity, {
  rules: { read_record: { action: ({ id }) => `read:record:${id}` } },
});

const { finalOutput } = await clerk.run("Are records 7 and 8 paid?");
deepStrictEqual(records.heard, ["7"]);
console.log(finalOutput);
await server.close();
records.close();
await identity.close();
