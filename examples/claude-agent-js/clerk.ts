/** A clerk with the tools of an MCP server: which record a call is about decides whether it may be made. */
import { deepStrictEqual } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Options } from "@anthropic-ai/claude-agent-sdk";
import { guardedQuery } from "@trustwarden/adapters/claude-agent.ts";
import { AgentIdentity } from "trustwarden";
import { startRecords } from "../mcp/records.ts";
import { startApi } from "./api.ts";

const desk = mkdtempSync(join(tmpdir(), "desk-"));
const records = await startRecords();
const api = await startApi([
  { name: "mcp__records__read_record", input: { id: "7" } },
  { name: "mcp__records__read_record", input: { id: "8" } },
  "Record 7 is paid; of 8 I may know nothing.",
]);

const identity = await AgentIdentity.create({ name: "clerk" });
const options: Options = {
  mcpServers: { records: { type: "http", url: records.url } },
  allowedTools: ["mcp__records__read_record"],
  cwd: desk,
  env: { PATH: process.env.PATH ?? "", HOME: desk, ANTHROPIC_BASE_URL: api.url, ANTHROPIC_API_KEY: "none" },
  settingSources: [],
};
const rules = { mcp__records__read_record: { action: ({ id }: { id?: unknown }) => `read:record:${id}` } };

let text = "";
for await (const message of guardedQuery({ prompt: "Are records 7 and 8 paid?", options }, identity, {
  rules,
}))
  if (message.type === "result" && message.subtype === "success") text = message.result;

deepStrictEqual(records.heard, ["7"]);
console.log(text);
await identity.close();
api.close();
records.close();
rmSync(desk, { recursive: true, force: true });
