/** `warden agent offer`, `accept` and `claim` against a running server, each owner with its own key. */
import { rmSync } from "node:fs";
import { parseTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { createOwner, enrolWith } from "../test/support/actors.ts";
import { jsonOf, send } from "../test/support/http.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { createHome, type Ran, runWarden } from "./testing.ts";

const home = createHome();
let server: TestServer;
let bobId: string;

beforeAll(async () => {
  server = await startTestServer();
  expect((await warden("owner", "create", "alice")).exitCode).toBe(0);
  const created = await warden("owner", "create", "bob", "--json");
  bobId = z.object({ owner_id: z.string() }).parse(JSON.parse(created.stdout)).owner_id;
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

function warden(...args: readonly string[]): Promise<Ran> {
  const { dataDir, configDir } = server.home;
  return runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
}

async function enrol(name: string): Promise<void> {
  const made = await warden(
    "agent",
    "ticket",
    "--owner",
    "alice",
    "--name",
    name,
    "--scope",
    "read:x",
    "--json",
  );
  const { ticket } = z.object({ ticket: z.string() }).parse(JSON.parse(made.stdout));
  await enrolWith(server, parseTicketValue(ticket).ticket);
}

const offerOf = async (name: string, to: string) =>
  (await warden("agent", "offer", name, "--owner", "alice", "--to", to)).stdout.split("\n")[0] ?? "";

test("an agent that alice offers is bob's when bob accepts it", async () => {
  await enrol("keeper");
  const offer = await offerOf("keeper", bobId);
  expect(offer).toMatch(/^two1\./);
  const accepted = await warden("agent", "accept", offer, "--owner", "bob");
  expect([accepted.exitCode, accepted.stdout]).toEqual([0, expect.stringContaining(`answers to ${bobId}`)]);
  expect((await warden("agent", "show", "keeper")).stdout).toContain(`Owner: ${bobId}`);
  const again = await warden("agent", "accept", offer, "--owner", "bob");
  expect([again.exitCode, again.stderr]).toEqual([1, expect.stringContaining("transfer_used")]);
});

test("an offer to somebody else is not taken, and nothing is sent", async () => {
  await enrol("other");
  const carol = await createOwner(server, "carol");
  const offer = await offerOf("other", carol.ownerId);
  const refused = await warden("agent", "accept", offer, "--owner", "bob");
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("transfer_invalid")]);
  const odd = await warden("agent", "accept", "two1.AAAA", "--owner", "bob");
  expect([odd.exitCode, odd.stdout]).toEqual([1, ""]);
});

test("an agent that registered itself is alice's when she claims it, with what she leaves of its wish", async () => {
  const { authorities_sha256 } = jsonOf(await send(server.url, { target: "/.well-known/trustwarden" }));
  const codes: string[] = [];
  const shown = Promise.withResolvers<void>();
  const registering = AgentIdentity.register({
    server: server.url,
    authoritiesSha256: String(authorities_sha256),
    name: "foundling",
    scope: ["read:x", "write:x"],
    onCode: ({ code }) => {
      codes.push(code);
      shown.resolve();
    },
  });
  await shown.promise;
  const [code = ""] = codes;
  const asks = await warden("agent", "claim", code, "--owner", "alice", "--show");
  expect([asks.exitCode, asks.stdout]).toEqual([0, expect.stringContaining("read:x write:x")]);
  const more = await warden("agent", "claim", code, "--owner", "alice", "--scope", "delete:x");
  expect([more.exitCode, more.stderr]).toEqual([1, expect.stringContaining("claim_mismatch")]);
  const claimed = await warden("agent", "claim", code, "--owner", "alice", "--scope", "read:x");
  expect([claimed.exitCode, claimed.stdout]).toEqual([0, expect.stringContaining("foundling is yours")]);
  const agent = await registering;
  expect(agent.scope).toEqual(["read:x"]);
  expect((await warden("agent", "show", "foundling")).stdout).toContain("live");
  await agent.close();
  const again = await warden("agent", "claim", code, "--owner", "bob");
  expect([again.exitCode, again.stderr]).toEqual([1, expect.stringContaining("claim_unknown")]);
});
