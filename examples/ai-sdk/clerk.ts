/** A clerk with the tools of an MCP server: which record a call is about decides whether it may be made. */
import { deepStrictEqual } from "node:assert";
import { createMCPClient } from "@ai-sdk/mcp";
import { guardAgent } from "@trustwarden/adapters/ai-sdk.ts";
import { stepCountIs } from "ai";
import { AgentIdentity } from "trustwarden";
import { startRecords } from "../mcp/records.ts";
import { clerkModel } from "./model.ts";

const records = await startRecords();
const client = await createMCPClient({ transport: { type: "http", url: records.url } });

const identity = await AgentIdentity.create({ name: "clerk" });
const clerk = guardAgent(
  { model: clerkModel, tools: await client.tools(), stopWhen: stepCountIs(3) },
  identity,
  { rules: { read_record: { action: ({ id }) => `read:record:${id}` } } },
);

const { text } = await clerk.generate({ prompt: "Are records 7 and 8 paid?" });
deepStrictEqual(records.heard, ["7"]);
console.log(text);
await client.close();
records.close();
await identity.close();
