/** `warden approvals` and `warden policy freeze` against a running server and an agent that waits. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { createHome, type Ran, runWarden } from "./testing.ts";

const home = createHome();
const policyDir = join(home, "policies");
let server: TestServer;
let agent: AgentIdentity;

beforeAll(async () => {
  cpSync(join(import.meta.dirname, "../policies"), policyDir, { recursive: true });
  const path = join(policyDir, "trustwarden/data.json");
  const data = JSON.parse(readFileSync(path, "utf8"));
  data.policy.asks = { send: { at: ["self"], why: "Mail cannot be unsent." } };
  writeFileSync(path, JSON.stringify(data));
  server = await startTestServer({ policyDir });
  expect((await warden("owner", "create", "alice")).exitCode).toBe(0);
  const { stdout } = await warden(
    ...["agent", "ticket", "--owner", "alice", "--path", "team", "--name", "mailer"],
    ...["--scope", "send:mail", "--ttl", "1h", "--json"],
  );
  const ticket = String(Object.values(JSON.parse(stdout)).find((value) => String(value).startsWith("tw1.")));
  agent = await AgentIdentity.create({ name: "mailer", ticket });
});
afterAll(async () => {
  await agent?.close();
  await server.close();
  server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

function warden(...args: readonly string[]): Promise<Ran> {
  const { dataDir, configDir } = server.home;
  return runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
}

/** The id of a call that waits, put before its owner. */
async function waiting(
  params: Readonly<Record<string, string>>,
): Promise<{ id: string; done: Promise<string> }> {
  const refusal = await agent
    .act("send:mail", "mailto:bob", params, async () => "sent")
    .catch((error: unknown) => Object(error));
  expect(refusal.code).toBe("approval_required");
  const id = String(refusal.details.request);
  const done = agent.waitForApproval(id);
  done.catch(() => undefined);
  await expect.poll(async () => (await warden("approvals", "list", "--as", "alice")).stdout).toContain(id);
  return { id, done };
}

test("an owner sees what waits, exactly, and says yes with its key", async () => {
  const params = { to: "bob\u001b[2Jeve@example.test" };
  const { id, done } = await waiting(params);
  const { stdout } = await warden("approvals", "show", id, "--as", "alice");
  expect(stdout).toContain("Mail cannot be unsent.");
  expect(stdout).toContain("eve@example.test");
  expect(stdout).not.toContain("\u001b");
  const nobody = await warden("approvals", "approve", id);
  expect([nobody.exitCode, nobody.stderr.includes("--as")]).toEqual([2, true]);
  const approved = await warden("approvals", "approve", id, "--as", "alice");
  expect([approved.exitCode, approved.stdout.includes("Approved")]).toEqual([0, true]);
  const approval = await done;
  expect(await agent.act("send:mail", "mailto:bob", params, async () => "sent", { approval })).toBe("sent");
  const used = agent.receipts.at(-1)?.receipt.event_id ?? "";
  expect((await warden("why", used)).stdout).toContain(`approval  by owner:`);
  expect((await warden("approvals", "list", "--all", "--json")).stdout).toContain('"used"');
  expect((await warden("approvals", "list")).stdout).toBe("Nothing waits.\n");
  const again = await warden("approvals", "deny", id, "--as", "alice");
  expect([again.exitCode, again.stderr.includes("approval_answered")]).toEqual([1, true]);
});

test("a no ends the wait, and a watch shows the next call", async () => {
  const { id, done } = await waiting({ to: "carol" });
  const watched = await warden("approvals", "watch", "--once", "--json", "--as", "alice");
  expect(JSON.parse(watched.stdout)).toMatchObject({ id, status: "pending", action: "send:mail" });
  expect((await warden("approvals", "deny", id, "--as", "alice")).stdout).toContain("Denied");
  await expect(done).rejects.toMatchObject({ code: "approval_denied" });
});

test("a freeze is set, shown and lifted by the operator", async () => {
  const on = await warden("policy", "freeze", "on", "--reason", "release night", "--for", "1h");
  expect([on.stderr, on.stdout.includes("release night")]).toEqual(["", true]);
  await expect(agent.act("send:mail", "mailto:x", null, async () => "sent")).rejects.toMatchObject({
    code: "denied",
  });
  expect((await warden("policy", "freeze", "show")).stdout).toContain("Frozen until");
  expect((await warden("policy", "freeze", "off")).stdout).toContain("Nothing is frozen");
});

test("the ledger of it verifies offline, with the owner's signature", async () => {
  const out = join(home, "export");
  expect((await warden("ledger", "export", out)).stderr).toBe("");
  const verified = await warden("ledger", "verify", out);
  expect(verified.stdout).not.toContain("approval_unproven");
  expect(verified.stdout).not.toContain("damage:");
});
