import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EventFilter } from "@trustwarden/core/agentledger/query-index.ts";
import {
  formatTestEventId,
  issueTestControl,
  issueTestDecision,
  issueTestIntent,
  issueTestOutcome,
  issueTestSvid,
  TEST_NOW,
  testAgent,
} from "@trustwarden/core/agentledger/record.test.support.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterAll, describe, expect, it, vi } from "vitest";
import { type IndexedSoFar, ThreadedLedgerIndex } from "./threaded-ledger-index.ts";

const root = mkdtempSync(join(tmpdir(), "ledger-index-"));
/** More than a start waits for. */
const NO_RECORDS = Array.from({ length: 9000 }, (_, number) => encodeUtf8(`no record ${number}`));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Twenty actions, every fourth denied, every fifth without an outcome, after one issue event. */
function history(): readonly Uint8Array[] {
  const entries = [issueTestSvid(testAgent, 1)];
  for (let number = 1; number <= 20; number += 1) {
    const event_id = formatTestEventId(number);
    const time = new Date((TEST_NOW + number) * 1000).toISOString();
    const intent = issueTestIntent({
      event_id,
      time,
      seq: number,
      action: number % 2 === 0 ? "read:transactions" : "write:transactions",
    });
    const allow = number % 4 !== 0;
    entries.push(intent, issueTestDecision(intent, { event_id, allow, reasons: allow ? [] : ["scope"] }));
    if (allow && number % 5 !== 0)
      entries.push(issueTestOutcome(intent, { event_id, decision_index: entries.length - 1 }));
  }
  return entries;
}

const entries = history();

function sourceOf(list: readonly Uint8Array[]) {
  return {
    size: list.length,
    readEntry: async (index: number) => list[index] ?? Promise.reject(new Error("no entry")),
  };
}

function openIndex(path: string, onProgress?: (progress: IndexedSoFar) => void): ThreadedLedgerIndex {
  const told = onProgress === undefined ? {} : { onProgress };
  return new ThreadedLedgerIndex({ path, onLost: () => undefined, ...told });
}

async function filled(list: readonly Uint8Array[] = entries): Promise<ThreadedLedgerIndex> {
  const index = openIndex(":memory:");
  await index.catchUp(sourceOf(list));
  return index;
}

const idsOf = async (index: ThreadedLedgerIndex, filter: EventFilter) =>
  (await index.query(filter, { limit: 500 })).events.map(({ event_id }) => Number(event_id.slice(-12)));

describe("the ledger index", () => {
  it("finds events by each of their properties, newest first, and only those", async () => {
    const index = await filled();
    const all = Array.from({ length: 20 }, (_, number) => 20 - number);
    expect(await idsOf(index, {})).toEqual([...all, 1001]);
    expect(await idsOf(index, { kind: "action" })).toEqual(all);
    expect(await idsOf(index, { kind: "issue" })).toEqual([1001]);
    for (const agent of ["agt_payment", testAgent.spiffeId, "inst-01A", "agt_orchestrator"]) {
      expect(await idsOf(index, { agent })).toEqual([...all, 1001]);
    }
    expect(await idsOf(index, { agent: "agt_other" })).toEqual([]);
    expect(await idsOf(index, { owner: "own_1" })).toEqual([...all, 1001]);
    expect(await idsOf(index, { owner: "own_2" })).toEqual([]);
    expect(await idsOf(index, { action: "read:transactions" })).toEqual(
      all.filter((number) => number % 2 === 0),
    );
    expect(await idsOf(index, { resource: "postgres://finance-db/transactions", kind: "action" })).toEqual(
      all,
    );
    expect(await idsOf(index, { outcome: "denied" })).toEqual([20, 16, 12, 8, 4]);
    expect(await idsOf(index, { outcome: "pending" })).toEqual([15, 10, 5]);
    expect(await idsOf(index, { eventId: formatTestEventId(7) })).toEqual([7]);
    const [sinceMs, untilMs] = [(TEST_NOW + 5) * 1000, (TEST_NOW + 8) * 1000];
    expect(await idsOf(index, { sinceMs, untilMs, kind: "action" })).toEqual([7, 6, 5]);
    expect(await idsOf(index, { action: "read:transactions", outcome: "success", sinceMs })).toEqual([
      18, 14, 6,
    ]);
    await index.close();
  });

  it("shows to a subtree only what lies in it", async () => {
    const index = await filled([
      ...entries,
      issueTestControl({ subject: testAgent.spiffeId, chain: ["owner:own_9"] }),
    ]);
    expect(await idsOf(index, { within: "own_1" })).toHaveLength(21);
    expect(await idsOf(index, { within: "agt_orchestrator" })).toHaveLength(21);
    expect(await idsOf(index, { within: "own_9" })).toEqual([900]);
    expect(await idsOf(index, { within: "own_2" })).toEqual([]);
    // The event is about the agent, but lies in another owner's subtree.
    expect(await idsOf(index, { agent: testAgent.spiffeId, within: "own_9" })).toEqual([900]);
    await index.close();
  });

  it("pages without losing or repeating, also while the log grows", async () => {
    const index = await filled();
    const seen: string[] = [];
    let cursor: string | undefined;
    for (let page = 0; ; page += 1) {
      const { events, nextCursor } = await index.query({ kind: "action" }, { limit: 7, cursor });
      seen.push(...events.map(({ event_id }) => event_id));
      if (page === 0) index.observe(entries.length, issueTestIntent({ event_id: formatTestEventId(99) }));
      if (nextCursor === null) break;
      cursor = nextCursor;
    }
    expect(seen).toHaveLength(20);
    expect(new Set(seen).size).toBe(20);
    for (const bad of ["", "5", "e-1", "e1 OR 1=1", "e01"]) {
      await expect(index.query({}, { limit: 1, cursor: bad })).rejects.toMatchObject({
        code: "request_malformed",
      });
    }
    await index.close();
  });

  it("takes values as values, whatever they say", async () => {
    const index = await filled();
    for (const text of ["' OR 1=1 --", "%", "x'; DROP TABLE events; --"]) {
      for (const filter of [
        { agent: text },
        { owner: text },
        { action: text },
        { resource: text },
        { eventId: text },
        { within: text },
      ]) {
        expect(await idsOf(index, filter)).toEqual([]);
      }
    }
    expect(await idsOf(index, {})).toHaveLength(21);
    await index.close();
  });

  it("answers with everything observed before, in whatever order it came", async () => {
    const index = openIndex(":memory:");
    await index.catchUp(sourceOf([]));
    const order = entries.map((_, at) => at).sort((left, right) => (left % 7) - (right % 7));
    for (const at of order) index.observe(at, entries[at] ?? new Uint8Array(0));
    for (const at of [0, 3]) index.observe(at, entries[at] ?? new Uint8Array(0));
    expect(index.size).toBe(entries.length);
    const whole = await filled();
    expect(await index.query({}, { limit: 500 })).toEqual(await whole.query({}, { limit: 500 }));
    await index.close();
    await whole.close();
  });

  it("finds the first outcome of an intent, as the log has it (40)", async () => {
    const intent = issueTestIntent();
    const outcome = issueTestOutcome(intent);
    const other = issueTestOutcome(intent, { status: "failure" });
    const index = await filled([intent, issueTestDecision(intent), outcome, other]);
    const expected = { index: 2, payloadSha256: parseRecord(outcome).payloadSha256 };
    const { entrySha256: intentSha256 } = parseRecord(intent);
    const eventId = formatTestEventId(1);
    expect(await index.findOutcome({ eventId, intentSha256, decidedAt: 1 })).toEqual(expected);
    expect(
      await index.findOutcome({ eventId: formatTestEventId(2), intentSha256, decidedAt: 1 }),
    ).toBeUndefined();
    const unknown = parseRecord(outcome).payloadSha256;
    expect(await index.findOutcome({ eventId, intentSha256: unknown, decidedAt: 1 })).toBeUndefined();
    await index.close();
  });

  it("refuses an outcome that is not where its file says", async () => {
    const intent = issueTestIntent();
    const list = [intent, issueTestDecision(intent), issueTestOutcome(intent)];
    const index = openIndex(":memory:");
    const swapped = [intent, issueTestDecision(intent), issueTestControl()];
    let isAltered = false;
    await index.catchUp({
      size: list.length,
      readEntry: async (at) => (isAltered ? swapped : list)[at] ?? new Uint8Array(0),
    });
    isAltered = true;
    const { entrySha256: intentSha256 } = parseRecord(intent);
    await expect(
      index.findOutcome({ eventId: formatTestEventId(1), intentSha256, decidedAt: 1 }),
    ).rejects.toMatchObject({
      code: "ledger_index_mismatch",
    });
    await index.close();
  });

  it("passes over entries that are no records", async () => {
    const index = await filled([encodeUtf8("no record"), ...entries.slice(0, 1)]);
    expect(index.size).toBe(2);
    expect(await idsOf(index, {})).toEqual([1001]);
    await index.close();
  });

  it("goes on after a restart, and begins anew on another log, a shorter log or another version", async () => {
    const path = join(root, "index.db");
    const first = openIndex(path);
    await first.catchUp(sourceOf(entries.slice(0, 10)));
    await first.close();
    const reads: number[] = [];
    const second = openIndex(path);
    await second.catchUp({
      size: entries.length,
      readEntry: async (at) => {
        reads.push(at);
        return entries[at] ?? new Uint8Array(0);
      },
    });
    expect(reads.slice(0, 2)).toEqual([9, 10]);
    expect(await idsOf(second, {})).toHaveLength(21);
    await second.close();
    const other = [issueTestControl()];
    const third = openIndex(path);
    await third.catchUp(sourceOf(other));
    expect(await idsOf(third, {})).toEqual([900]);
    await third.close();
    const replaced = history();
    const fourth = openIndex(path);
    await fourth.catchUp(sourceOf(replaced));
    expect(await idsOf(fourth, {})).toHaveLength(21);
    await fourth.close();
  });

  it("begins anew when its file is no database", async () => {
    const path = join(root, "damaged.db");
    writeFileSync(path, "this is no database, whatever its name says".repeat(100));
    const index = openIndex(path);
    await index.catchUp(sourceOf(entries));
    expect(await idsOf(index, {})).toHaveLength(21);
    await index.close();
  });

  it("reads from the log again what it had no room to keep, and stays in order", async () => {
    const log = Array.from({ length: 18_000 }, (_, at) => encodeUtf8(`no record ${at}`));
    log.push(...entries);
    const known: Uint8Array[] = [];
    const reads: number[] = [];
    const index = openIndex(":memory:");
    await index.catchUp({
      size: 0,
      readEntry: async (at) => {
        reads.push(at);
        return known[at] ?? Promise.reject(new Error("not in the log"));
      },
    });
    for (const [at, entry] of log.entries()) {
      known.push(entry);
      index.observe(at, entry);
    }
    expect(await idsOf(index, {})).toHaveLength(21);
    expect(index.size).toBe(log.length);
    expect(reads[0]).toBe(16_384);
    expect(reads).toHaveLength(log.length - 16_384);
    index.observe(log.length, issueTestControl());
    expect(await idsOf(index, {})).toHaveLength(22);
    await index.close();
  });

  it("refuses searches beyond those that may wait", async () => {
    const index = await filled();
    const searches = Array.from({ length: 257 }, () => index.query({}, { limit: 1 }));
    const answers = await Promise.allSettled(searches);
    expect(answers.filter(({ status }) => status === "fulfilled")).toHaveLength(256);
    expect(answers[256]).toMatchObject({ reason: { code: "rate_limited" } });
    expect(await idsOf(index, {})).toHaveLength(21);
    await index.close();
  });

  it("refuses a question that is not answered in time, and goes on", async () => {
    const entry = Promise.withResolvers<Uint8Array>();
    const index = new ThreadedLedgerIndex({ path: ":memory:", onLost: () => undefined, answerMs: 1 });
    let size = 0;
    await index.catchUp({
      get size() {
        return size;
      },
      readEntry: () => entry.promise,
    });
    // More than there is room for: what comes after the first must be read from the log again.
    size = 16_386;
    for (let at = 1; at < size; at += 1) index.observe(at, encodeUtf8("no record"));
    await expect(index.query({}, { limit: 1 })).rejects.toMatchObject({ code: "ledger_search_late" });
    entry.resolve(issueTestControl());
    await vi.waitFor(() => expect(index.size).toBe(size), 30_000);
    await index.close();
  });

  it("answers nothing once its thread is gone, and says so once", async () => {
    const lost: unknown[] = [];
    const path = join(root, "nowhere", "index.db");
    const index = new ThreadedLedgerIndex({ path, onLost: (error) => lost.push(error) });
    await expect(index.catchUp(sourceOf(entries))).rejects.toMatchObject({ code: "store_unavailable" });
    index.observe(0, entries[0] ?? new Uint8Array(0));
    await expect(index.query({}, { limit: 1 })).rejects.toMatchObject({ code: "store_unavailable" });
    await index.close();
    expect(lost).toHaveLength(1);
  });

  it("is made from a long log while the server works: questions are refused, and outcomes are found in the log", async () => {
    const intent = issueTestIntent();
    const outcome = issueTestOutcome(intent);
    const list = [...NO_RECORDS, intent, issueTestDecision(intent)];
    const gate = Promise.withResolvers<void>();
    const told: IndexedSoFar[] = [];
    const index = openIndex(join(root, "long.db"), (progress) => told.push(progress));
    await index.follow({
      get size() {
        return list.length;
      },
      readEntry: async (at) => list[at] ?? Promise.reject(new Error("no entry")),
      readEntriesFrom: async (at) => {
        if (at < NO_RECORDS.length) await gate.promise;
        return list.slice(at, at + 256);
      },
    });
    await expect(index.query({}, { limit: 1 })).rejects.toMatchObject({
      code: "ledger_index_behind",
      details: { indexed: 0, entries: 9002 },
    });
    const asked = { eventId: formatTestEventId(1), intentSha256: parseRecord(intent).entrySha256 };
    expect(await index.findOutcome({ ...asked, decidedAt: 9001 })).toBeUndefined();
    list.push(outcome);
    index.observe(9002, outcome);
    const expected = { index: 9002, payloadSha256: parseRecord(outcome).payloadSha256 };
    expect(await index.findOutcome({ ...asked, decidedAt: 9001 })).toEqual(expected);
    gate.resolve();
    await vi.waitFor(() => index.query({}, { limit: 1 }), 30_000);
    expect(await idsOf(index, { outcome: "success" })).toEqual([1]);
    expect(await index.findOutcome({ ...asked, decidedAt: 9001 })).toEqual(expected);
    expect(told.at(0)).toEqual({ indexed: 0, entries: 9002 });
    expect(told.at(-1)).toEqual({ indexed: 9003, entries: 9003 });
    await index.close();
  });

  it("goes on with what a log could not be read for, as soon as somebody asks again", async () => {
    let failures = 2;
    const index = openIndex(join(root, "interrupted.db"));
    await index.follow({
      ...sourceOf(NO_RECORDS),
      readEntriesFrom: async (at) => {
        if (at > 4000 && failures-- > 0) throw new TrustWardenError("store_unavailable");
        return NO_RECORDS.slice(at, at + 256);
      },
    });
    await expect(idsOf(index, {})).rejects.toMatchObject({ code: "ledger_index_behind" });
    await vi.waitFor(() => idsOf(index, {}), 30_000);
    await index.close();
  });

  it("opens no thread that nobody ends when it is closed with its last entries on their way", async () => {
    const closing = Promise.withResolvers<void>();
    const threadsOf = () => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
    const before = threadsOf();
    const index = openIndex(join(root, "closed-early.db"));
    await index.follow({
      ...sourceOf(NO_RECORDS),
      readEntriesFrom: async (at) => {
        if (at + 256 >= NO_RECORDS.length) setImmediate(() => closing.resolve(index.close()));
        return NO_RECORDS.slice(at, at + 256);
      },
    });
    await closing.promise;
    expect(threadsOf()).toBeLessThanOrEqual(before);
  });

  it("scans no long log for an outcome: whoever sends it asks again", async () => {
    const index = openIndex(join(root, "longer.db"));
    const never = Promise.withResolvers<never>();
    await index.follow({ size: 100_000, readEntry: () => never.promise });
    const asked = { eventId: formatTestEventId(1), intentSha256: "A".repeat(43) };
    await expect(index.findOutcome({ ...asked, decidedAt: 7 })).rejects.toMatchObject({
      code: "ledger_index_behind",
    });
    never.promise.catch(() => undefined);
    never.reject(new Error("the log is closed"));
    await index.close();
  });

  it("forgets what it remembers of a file as soon as that has changed", async () => {
    const intent = issueTestIntent();
    const index = openIndex(join(root, "changing.db"));
    const list = [intent, issueTestDecision(intent)];
    await index.catchUp(sourceOf(list));
    expect(await idsOf(index, { outcome: "pending" })).toEqual([1]);
    index.observe(2, issueTestOutcome(intent));
    expect(await idsOf(index, { outcome: "pending" })).toEqual([]);
    expect(await idsOf(index, { outcome: "success" })).toEqual([1]);
    await index.close();
  });
});
