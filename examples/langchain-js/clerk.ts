/** A clerk with the tools of an MCP server: which record a call is about decides whether it may be made. */
import { deepStrictEqual } from "node:assert";
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { guardAgent } from "@trustwarden/adapters/langchain.ts";
import { AgentIdentity } from "trustwarden";
import { startRecords } from "../mcp/records.ts";
import { clerkModel } from "./model.ts";

const records = await startRecords();
const servers = new MultiServerMCPClient({ records: { transport: "http", url: records.url } });

const identity = await AgentIdentity.create({ name: "clerk" });
const clerk = guardAgent({ model: clerkModel, tools: await servers.getTools() }, identity, {
  rules: { read_record: { action: ({ id }) => `read:record:${id}` } },
});

const { messages } = await clerk.invoke({
  messages: [{ role: "user", content: "Are records 7 and 8 paid?" }],
});
deepStrictEqual(records.heard, ["7"]);
console.log(Object(messages).at(-1).content);
await servers.close();
records.close();
await identity.close();
