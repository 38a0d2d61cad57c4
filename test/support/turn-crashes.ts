/**
 * kill -9 at each step of a turn to the next shard: the next start finishes the turn once, whatever was promised stands
 * where the promise says, and the chain of shards verifies as a whole. Every storage runs this one matrix.
 */
import { firstLedgerKey, followLedgerKeys } from "@trustwarden/core/agentledger/ledger-keys.ts";
import { discovery, shardList } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAdminTransport } from "../../cli/admin-transport.ts";
import { createClient } from "../../cli/client.ts";
import { createTemporaryExport } from "../../cli/temporary-export.ts";
import { auditDirectory } from "../../cli/verify-directory.ts";
import { createOwner, enrolAgent, parseAnswer, type TestOwner } from "./actors.ts";
import { TURN_POINTS } from "./crash-points.ts";
import { CrashingServer } from "./crash-server.ts";
import { send, sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

const CRASH_TIMEOUT_MS = 180_000;

/** Asks for a turn. */
export const askTurn = (server: Pick<TestServer, "adminSocket">, body: object = {}) =>
  sendAdmin(server.adminSocket, {
    method: "POST",
    target: "/v1/ledger/turns",
    body: JSON.stringify(body),
  });

/** The shards that a server shows. */
export const readShards = async (server: Pick<TestServer, "adminSocket">) =>
  parseAnswer(shardList, await sendAdmin(server.adminSocket, { target: "/ledger/shards" })).shards;

/** Registers the matrix. @param createSettings - of `server.json`, for a ledger that was never used. */
export function describeTurnCrashes(name: string, createSettings: () => Promise<object>): void {
  describe(name, () => {
    let crashing: CrashingServer;
    let owner: TestOwner;
    beforeAll(async () => {
      crashing = new CrashingServer(await createSettings());
      await crashing.start();
      owner = await createOwner(crashing.server);
    }, CRASH_TIMEOUT_MS);
    afterAll(() => crashing.end());

    it.each(TURN_POINTS)(
      "finishes a turn that is killed after: $name",
      { timeout: CRASH_TIMEOUT_MS },
      async (point) => {
        const before = await readShards(crashing.server);
        await enrolAgent(crashing.server, owner, { name: `before-${before.length}` });
        await crashing.crash({ point, hit: 1 }, () => askTurn(crashing.server, { new_key: true }));
        const shards = await readShards(crashing.server);
        // Whatever was durable before the kill: the next shard has a key of its own, and the chain of keys is proven.
        const keys = followLedgerKeys([firstLedgerKey(shards[0]?.vkey ?? "")], shards);
        expect(keys).toHaveLength(shards.length);
        const ended = point.hasNotTurned === true ? before.slice(1) : before;
        expect(shards.map(({ frozen }) => frozen)).toEqual([...ended.map(() => true), false]);
        await enrolAgent(crashing.server, owner, { name: `after-${before.length}` });
        await expectSoundChain(crashing.server, shards.length);
      },
    );
  });
}

/** The shards of a server follow one another without a gap, and what it exports of them verifies. */
export async function expectSoundChain(
  server: Pick<TestServer, "adminSocket" | "url">,
  count: number,
): Promise<void> {
  const shards = await readShards(server);
  expect(shards).toHaveLength(count);
  for (const [at, shard] of shards.entries()) {
    const last = shards[at - 1];
    expect(shard.first).toBe(last === undefined ? 0 : last.first + last.size);
  }
  const transport = createAdminTransport(server.adminSocket);
  const { directory, remove } = await createTemporaryExport(createClient(transport));
  try {
    const known = await send(server.url, { target: "/.well-known/trustwarden" });
    const { log_vkey: vkey } = parseAnswer(discovery, known);
    const audit = await auditDirectory({ directory, vkey, olderCheckpoint: undefined });
    expect(audit.findings.filter(({ severity }) => severity === "damage")).toEqual([]);
    expect(audit.shards).toHaveLength(count);
  } finally {
    remove();
  }
}
