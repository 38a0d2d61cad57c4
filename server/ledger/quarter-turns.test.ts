/** A shard ends with its quarter: once, by a clock that runs, and not before enough witnesses would follow. */
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { oneLogKey } from "@trustwarden/core/agentledger/log-keys.ts";
import { MemoryHighWater, MemoryLogStorage } from "@trustwarden/core/agentledger/memory-log-storage.ts";
import { issueTestOwner } from "@trustwarden/core/agentledger/record.test.support.ts";
import { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { SeatDuties } from "../shared/seat-duties.ts";
import { LedgerTurns, type LedgerTurnsOptions } from "./turns.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Of the ledger's first record. */
const begunMs = Date.parse(String(parseUnverifiedPayload(parseEnvelope(parseUtf8(issueTestOwner()))).time));
const [year, quarter] = [new Date(begunMs).getUTCFullYear(), Math.floor(new Date(begunMs).getUTCMonth() / 3)];
const borderMs = Date.UTC(year, 3 * quarter + 3);
const nameOf = (ms: number) =>
  `${new Date(ms).getUTCFullYear()}q${Math.floor(new Date(ms).getUTCMonth() / 3) + 1}`;
const NEXT = nameOf(borderMs);
const BEHIND = nameOf(borderMs + 100 * DAY_MS);

let log: ShardedLog;
let nowMs: number;
let monoMs: number;
let absent: readonly string[];
let toldOf: string[];
const ends: (() => Promise<void> | void)[] = [];

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  log = new ShardedLog({
    ledger: "ledger.acme.test",
    keys: oneLogKey(createTestLogSigner()),
    highWater: new MemoryHighWater(),
    openShard: () => {
      const storage = new MemoryLogStorage();
      return { storage, reader: storage };
    },
    now: () => Math.floor(nowMs / 1000),
    onFatal: () => undefined,
  });
  await log.start();
  await log.append([issueTestOwner()]);
  [nowMs, monoMs, absent, toldOf] = [borderMs - DAY_MS, 0, [], []];
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await log.stop();
  vi.useRealTimers();
});

const names = () => log.shards.map(({ name }) => name);

function turnsOf(more: Partial<LedgerTurnsOptions> = {}): LedgerTurns {
  return new LedgerTurns({
    log,
    isQuarterly: true,
    clock: { nowMs: () => nowMs, monoMs: () => monoMs },
    waitsFor: async (name) => {
      toldOf.push(`asked ${name}`);
      return absent;
    },
    onTurned: () => undefined,
    onPutOff: (name, witnesses) => toldOf.push(`${name} waits for ${witnesses.join(" ")}`),
    onFailure: (error) => toldOf.push(String(error)),
    duties: null,
    ...more,
  });
}

/** Both clocks run, and a look is due each minute. */
async function run(minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute += 1) {
    nowMs += MINUTE_MS;
    monoMs += MINUTE_MS;
    vi.advanceTimersByTime(MINUTE_MS);
    // What a look waits for is in memory.
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it("ends with its quarter by the server's clock, within a minute, once a quarter, and nobody asked for it", async () => {
  await turnsOf().start(ends);
  nowMs = borderMs - 2 * MINUTE_MS;
  monoMs += DAY_MS - 2 * MINUTE_MS;
  await run(1);
  expect(names()).toEqual([null]);
  await run(2);
  expect(names()).toEqual([null, NEXT]);
  await run(60);
  expect(names()).toEqual([null, NEXT]);
  nowMs += 100 * DAY_MS;
  monoMs += 100 * DAY_MS;
  await run(1);
  expect(names()).toEqual([null, NEXT, BEHIND]);
});

it("has ended when the server is started in a later quarter, and not where the calendar is switched off", async () => {
  nowMs = borderMs + DAY_MS;
  await turnsOf({ isQuarterly: false }).start(ends);
  expect(names()).toEqual([null]);
  await turnsOf().start(ends);
  expect(names()).toEqual([null, NEXT]);
  await turnsOf().start(ends);
  expect(names()).toEqual([null, NEXT]);
});

it("is never two by a clock that was set back over the border and comes to it again", async () => {
  nowMs = borderMs + MINUTE_MS;
  await turnsOf().start(ends);
  nowMs = borderMs - DAY_MS;
  await run(30);
  nowMs = borderMs + MINUTE_MS;
  await run(30);
  expect(names()).toEqual([null, NEXT]);
});

it("does not end by a clock that jumped ahead and is set right soon, and ends when it stays there", async () => {
  await turnsOf().start(ends);
  nowMs += 100 * DAY_MS;
  await run(8);
  expect(names()).toEqual([null]);
  nowMs -= 100 * DAY_MS;
  await run(30);
  expect(names()).toEqual([null]);
  nowMs += 100 * DAY_MS;
  await run(9);
  expect(names()).toEqual([null]);
  await run(2);
  expect(names()).toEqual([null, BEHIND]);
});

it("goes on as long as too few witnesses would follow, which the operator is told each hour", async () => {
  absent = ["b", "c"];
  nowMs = borderMs + MINUTE_MS;
  await turnsOf().start(ends);
  await run(59);
  expect(names()).toEqual([null]);
  const told = () => toldOf.filter((line) => !line.startsWith("asked"));
  expect(told()).toEqual([`${NEXT} waits for b c`]);
  await run(2);
  expect(told()).toHaveLength(2);
  absent = [];
  await run(1);
  expect(names()).toEqual([null, NEXT]);
  expect(told()).toHaveLength(2);
});

it("is not turned twice when an operator turns it while witnesses are asked", async () => {
  nowMs = borderMs + MINUTE_MS;
  const turns = turnsOf({
    waitsFor: async () => {
      await turns.turn();
      return [];
    },
  });
  await turns.start(ends);
  expect(names()).toEqual([null, NEXT]);
  // A word that comes late, from a server that has not followed yet, is the same turn.
  expect((await log.turn(NEXT)).name).toBe(NEXT);
  expect(names()).toEqual([null, NEXT]);
  await turns.turn();
  expect(names()).toEqual([null, NEXT, `${NEXT}.2`]);
});

it("is looked at again after a look that failed", async () => {
  let isBroken = true;
  nowMs = borderMs - MINUTE_MS;
  const waitsFor = async () => {
    if (isBroken) throw new Error("the witnesses' file is gone");
    return [];
  };
  await turnsOf({ waitsFor }).start(ends);
  await run(3);
  expect(toldOf).toContain("Error: the witnesses' file is gone");
  expect(names()).toEqual([null]);
  isBroken = false;
  await run(1);
  expect(names()).toEqual([null, NEXT]);
});

it("of servers that share the ledger, whoever has the seat ends it, when its clock has run for a while", async () => {
  const duties = new SeatDuties();
  nowMs = borderMs + DAY_MS;
  await turnsOf({ duties }).start(ends);
  await run(30);
  expect(names()).toEqual([null]);
  await duties.begin();
  await run(9);
  expect(names()).toEqual([null]);
  await run(2);
  expect(names()).toEqual([null, NEXT]);
  await duties.end();
  nowMs += 100 * DAY_MS;
  monoMs += 100 * DAY_MS;
  await run(30);
  expect(names()).toEqual([null, NEXT]);
});
