/** Witnesses of a ledger that several servers share: whoever has the seat asks about every shard, however it was heard of. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHistory, HISTORY_VKEY } from "@trustwarden/core/agentledger/history.test.support.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import {
  ALGORITHM_COSIGNATURE,
  formatVkey,
  rawEd25519Key,
} from "@trustwarden/core/agentledger/signed-note.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { expect, onTestFinished, test, vi } from "vitest";
import { SeatDuties } from "../shared/seat-duties.ts";
import { witnessSettings } from "./config.ts";
import { openWitnessing, type WitnessedShard } from "./create.ts";

const history = createHistory();
const witness = formatVkey(
  "a.test/w",
  rawEd25519Key(createTestLogSigner(31).publicKey),
  ALGORITHM_COSIGNATURE,
);

/** A server that has the seat, whose notes and whose next shard may not be there. */
async function open() {
  const dataDir = mkdtempSync(join(tmpdir(), "shared-witnessing-"));
  const policyFile = join(dataDir, "witness.policy");
  writeFileSync(policyFile, `log ${HISTORY_VKEY}\nwitness a ${witness} http://127.0.0.1:9\nquorum a\n`);
  const away = { notes: false, checkpoint: false };
  let reads = 0;
  const duties = new SeatDuties();
  await duties.begin();
  const cleanups: (() => Promise<void> | void)[] = [];
  onTestFinished(async () => {
    await duties.end();
    for (const cleanup of cleanups) await cleanup();
    rmSync(dataDir, { recursive: true });
  });
  const witnessing = await openWitnessing({
    settings: witnessSettings.parse({ policyFile, timeoutMs: 100, whenSilent: "start", intervalMs: 10 }),
    dataDir,
    vkey: HISTORY_VKEY,
    shards: [],
    monoMs: () => performance.now(),
    onEvent: () => undefined,
    onSilent: () => undefined,
    onRolledBack: () => undefined,
    shared: {
      duties,
      notes: {
        readAll: async () => [],
        read: async () => {
          if (away.notes) throw new TrustWardenError("store_unavailable");
          reads += 1;
          return undefined;
        },
        keep: async () => 1,
      },
    },
    cleanups,
  });
  let asked = 0;
  const next: WitnessedShard = {
    name: "2026q4",
    origin: "next",
    isFrozen: false,
    log: {
      vkey: HISTORY_VKEY,
      checkpoint: () => {
        asked += 1;
        if (away.checkpoint) throw new TrustWardenError("ledger_unavailable");
        return history.note(5);
      },
      proveConsistency: async (from, to) => history.proof(from, to),
      proveInclusion: async () => [],
      waitForCheckpoint: async () => undefined,
    },
  };
  return { witnessing, away, next, asked: () => asked, read: () => reads };
}

test("a shard that began while the notes were away is asked about all the same, and what is kept of it is looked for", async () => {
  const { witnessing, away, next, asked, read } = await open();
  away.notes = true;
  witnessing?.know(next);
  await vi.waitFor(() => expect(asked()).toBeGreaterThan(0));
  away.notes = false;
  await vi.waitFor(() => expect(read()).toBeGreaterThan(0));
});

test("a shard of which nothing is published yet is looked at again, and ends nothing", async () => {
  const { witnessing, away, next, asked } = await open();
  away.checkpoint = true;
  witnessing?.know(next);
  await vi.waitFor(() => expect(asked()).toBeGreaterThan(2));
});
