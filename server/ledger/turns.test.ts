import { generateKeyPairSync } from "node:crypto";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import { describe, expect, it } from "vitest";
import { createLedgerTurns, LedgerTurns, type LedgerTurnsOptions } from "./turns.ts";

const [old, made] = [1, 2].map(() => generateKeyPairSync("ed25519").publicKey);
const origin = "ledger.acme.test/2026q4";

/** Turns of a log that begins shards under a key. */
function turnsOf(begun: PublicKey | undefined, more: Partial<LedgerTurnsOptions> = {}) {
  if (begun === undefined) throw new Error("two keys");
  const asked: unknown[] = [];
  const shard = { name: "2026q4", origin, vkey: formatVkey(origin, rawEd25519Key(begun)) };
  const options = {
    log: {
      current: { name: null },
      size: 0,
      readEntry: async () => new Uint8Array(),
      turn: async (...given: unknown[]) => {
        asked.push(given[1]);
        return shard;
      },
    },
    isQuarterly: false,
    clock: { nowMs: () => Date.UTC(2026, 10, 23), monoMs: () => 0 },
    duties: null,
    onTurned: () => undefined,
    onFailure: () => undefined,
    ...more,
  };
  return { turns: new LedgerTurns(Object(options)), asked, shard };
}

describe("a turn with a new key", () => {
  const makeKey = () => made ?? never();

  it("makes the key first, and a turn without one makes none", async () => {
    const { turns, asked } = turnsOf(made, { makeKey });
    expect((await turns.turn("new key")).origin).toBe(origin);
    await turns.turn();
    expect(asked).toEqual([made, undefined]);
  });

  it.each([
    ["share the ledger", {}, { storage: "postgres", servers: "many", standby: false }],
    ["take turns at it", null, { storage: "postgres", servers: "one", standby: true }],
  ])("is refused where servers %s, before anything is made", async (_, shared, state) => {
    const log = { current: { name: null }, onTurned: () => undefined, turn: never };
    const parts = {
      config: { ledger: {}, state },
      shardedLog: log,
      shared,
      witnessing: null,
      keys: { logKeys: { make: never } },
      clock: { nowMs: () => 0, monoMs: () => 0 },
      log: {},
    };
    await expect(createLedgerTurns(Object(parts)).turn("new key")).rejects.toMatchObject({
      code: "replica_refused",
    });
  });

  it("is never one with the key of before, where nobody makes keys", async () => {
    const { turns, asked } = turnsOf(old);
    await expect(turns.turn("new key")).rejects.toThrow("no key is made here");
    expect(asked).toEqual([]);
  });

  it("is not believed of a turn that was under way with another key", async () => {
    const { turns } = turnsOf(old, { makeKey });
    await expect(turns.turn("new key")).rejects.toMatchObject({ code: "ledger_unavailable" });
  });
});

function never(): never {
  throw new Error("two keys");
}
