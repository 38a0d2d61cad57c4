/**
 * kill -9 at each step of a turn to the next shard: the next start finishes the turn once, whatever was promised stands
 * where the promise says, and the chain of shards verifies as a whole.
 */
import { shardList } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createAdminTransport } from "../cli/admin-transport.ts";
import { createClient } from "../cli/client.ts";
import { createTemporaryExport } from "../cli/temporary-export.ts";
import { auditDirectory } from "../cli/verify-directory.ts";
import { createOwner, enrolAgent, parseAnswer, type TestOwner } from "./support/actors.ts";
import { TURN_POINTS } from "./support/crash-points.ts";
import { CrashingServer } from "./support/crash-server.ts";
import { send, sendAdmin } from "./support/http.ts";

const CRASH_TIMEOUT_MS = 180_000;
const crashing = new CrashingServer();
let owner: TestOwner;

beforeAll(async () => {
  await crashing.start();
  owner = await createOwner(crashing.server);
});
afterAll(() => crashing.end());

const turn = () =>
  sendAdmin(crashing.server.adminSocket, { method: "POST", target: "/v1/ledger/turns", body: "{}" });
const readShards = async () =>
  parseAnswer(shardList, await sendAdmin(crashing.server.adminSocket, { target: "/ledger/shards" })).shards;

it.each(TURN_POINTS)("a turn that is killed after: $name", { timeout: CRASH_TIMEOUT_MS }, async (point) => {
  const before = await readShards();
  await enrolAgent(crashing.server, owner, { name: `before-${before.length}` });
  await crashing.crash({ point, hit: 1 }, turn);
  const shards = await readShards();
  expect(shards.map(({ frozen }) => frozen)).toEqual([...before.map(() => true), false]);
  for (const [at, shard] of shards.entries()) {
    const last = shards[at - 1];
    expect(shard.first).toBe(last === undefined ? 0 : last.first + last.size);
  }
  await enrolAgent(crashing.server, owner, { name: `after-${before.length}` });
  const { directory, remove } = await createTemporaryExport(
    createClient(createAdminTransport(crashing.server.adminSocket)),
  );
  try {
    const vkey = await readVkey();
    const audit = await auditDirectory({ directory, vkey, olderCheckpoint: undefined });
    expect(audit.findings.filter(({ severity }) => severity === "damage")).toEqual([]);
    expect(audit.shards).toHaveLength(shards.length);
  } finally {
    remove();
  }
});

async function readVkey(): Promise<string> {
  const { text } = await send(crashing.server.url, { target: "/.well-known/trustwarden" });
  return String(JSON.parse(text).log_vkey);
}
