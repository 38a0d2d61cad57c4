/** An agent of the Claude Agent SDK and its sub-agent: two identities, and a tool that one of them may not use. */
import { ok, strictEqual } from "node:assert";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guardedQuery } from "@trustwarden/adapters/claude-agent.ts";
import { AgentIdentity } from "trustwarden";
import { startApi } from "./api.ts";

const desk = mkdtempSync(join(tmpdir(), "desk-"));
const agent = { description: "look it up", prompt: "Where is parcel 7?", subagent_type: "researcher" };
const api = await startApi([
  { name: "Agent", input: { ...agent, run_in_background: false } },
  { name: "Bash", input: { command: "echo tomorrow > answer", description: "notes it" } },
  { name: "Write", input: { file_path: join(desk, "overwritten"), content: "x" } },
  "Tomorrow; and I may not write files.",
  "Parcel 7 arrives tomorrow.",
]);

const identity = await AgentIdentity.create({ name: "support" });
const options = {
  agents: {
    researcher: { description: "Looks things up.", prompt: "Look it up.", tools: ["Bash", "Write"] },
  },
  allowedTools: ["Agent", "Bash", "Write"],
  cwd: desk,
  env: { PATH: process.env.PATH ?? "", HOME: desk, ANTHROPIC_BASE_URL: api.url, ANTHROPIC_API_KEY: "none" },
  settingSources: [],
};
// A child of the agent for each sub-agent that runs, with less than the agent may do.
const subagents = { researcher: { name: "researcher", scope: ["use:tool:Bash"] } };

let text = "";
for await (const message of guardedQuery({ prompt: "Where is my parcel?", options }, identity, { subagents }))
  if (message.type === "result" && message.subtype === "success") text = message.result;

strictEqual(text, "Parcel 7 arrives tomorrow.");
ok(existsSync(join(desk, "answer")));
ok(!existsSync(join(desk, "overwritten")));
console.log(text);
await identity.close();
api.close();
rmSync(desk, { recursive: true, force: true });
