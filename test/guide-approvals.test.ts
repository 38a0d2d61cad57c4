/** The shell blocks of `docs/guides/approvals.md`, in their order, against a real server and an agent that waits. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parsePolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { createRouteTable, parseRoute } from "@trustwarden/core/route-table.ts";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const GUIDE = readFileSync(join(ROOT, "docs/guides/approvals.md"), "utf8");
const blocksOf = (language: string): readonly string[] =>
  [...GUIDE.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(
    ([, block = ""]) => block,
  );

const home = mkdtempSync(join(tmpdir(), "warden-guide-"));
const policyDir = join(home, "policies");
let server: TestServer;
let agent: AgentIdentity;

beforeAll(async () => {
  cpSync(join(ROOT, "policies"), policyDir, { recursive: true });
  const path = join(policyDir, "trustwarden/data.json");
  const data = JSON.parse(readFileSync(path, "utf8"));
  data.policy.asks = { send: { at: ["self"], why: "Mail cannot be unsent." } };
  writeFileSync(path, JSON.stringify(data));
  server = await startTestServer({ policyDir });
  await run("warden owner create alice");
  const made = await run(
    "warden agent ticket --owner alice --path team --name mailer --scope send:mail --ttl 1h --json",
  );
  const ticket = Object.values(JSON.parse(made)).find((value) => String(value).startsWith("tw1."));
  agent = await AgentIdentity.create({ name: "mailer", ticket: String(ticket) });
});
afterAll(async () => {
  await agent?.close();
  await server.close();
  server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

async function run(line: string): Promise<string> {
  const [, ...args] = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? "");
  const { dataDir, configDir } = server.home;
  const ran = await runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
  if (ran.exitCode !== 0) throw new Error(`${line}: ${ran.stderr}`);
  return ran.stdout;
}

test("every block of the guide does what it says", async () => {
  const send = (approval?: string) =>
    agent.act(
      "send:mail",
      "mailto:bob",
      null,
      async () => "sent",
      approval === undefined ? {} : { approval },
    );
  const refusal = await send().catch((error: unknown) => Object(error));
  const request = String(refusal.details.request);
  const waiting = agent.waitForApproval(request);
  await expect.poll(() => run("warden approvals list --as alice")).toContain(request);
  const blocks = blocksOf("sh");
  expect(blocks.length).toBe(2);
  let shown = "";
  for (const line of blocks.flatMap((block) => block.trim().split("\n")))
    shown += await run(line.replace("$REQUEST", request));
  for (const words of ["Approved", "Mail cannot be unsent.", "Frozen until", "Nothing is frozen"])
    expect(shown).toContain(words);
  expect(await send(await waiting)).toBe("sent");
});

test("the rows and the policy data in the guide are what the parsers take", () => {
  const [row = "", asks = ""] = blocksOf("json");
  expect(createRouteTable([parseRoute(parseJsonObject(row))]).routes[0]?.labels).toEqual(["private"]);
  const data = JSON.parse(readFileSync(join(ROOT, "policies/trustwarden/data.json"), "utf8"));
  data.policy.asks = JSON.parse(`{${asks}}`).asks;
  expect(Object.keys(parsePolicyData(data).asks)).toEqual(["pay", "delete:cache"]);
});
