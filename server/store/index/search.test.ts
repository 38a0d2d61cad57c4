import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type JoinedEvent, joinRecord, linksOf, subtreesOf } from "@trustwarden/core/agentledger/join.ts";
import type { EventFilter, EventOrder } from "@trustwarden/core/agentledger/query-index.ts";
import { intentDigestOf, type UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { createLedgerIndex, type LedgerIndex } from "../ledger-index.ts";
import {
  agentName,
  HISTORY_START_MS,
  type HistoryShape,
  inventHistory,
  ownerName,
} from "./history.test.support.ts";

const SHAPE: HistoryShape = { owners: 3, agents: 40, actions: 4, resources: 5, policies: 3, jobLength: 6 };

/** An event as whoever reads the whole log knows it. */
interface Known {
  readonly first: number;
  event: JoinedEvent;
  readonly about: Set<string>;
  readonly within: Set<string>;
  readonly policies: Set<string>;
}

function take(seed: number, actions: number): readonly UnverifiedRecord[] {
  return inventHistory(SHAPE, seed).take(actions).toArray().flat();
}

/** Joins the whole log in the plainest way. */
function readAll(records: readonly UnverifiedRecord[]): readonly Known[] {
  const known = new Map<string, Known>();
  for (const [index, record] of records.entries()) {
    const key = `${record.unverified.value.event_id} ${intentDigestOf(record) ?? record.entrySha256}`;
    const found = known.get(key);
    const event = joinRecord(found?.event ?? null, record, index);
    const one = found ?? { first: index, event, about: new Set(), within: new Set(), policies: new Set() };
    one.event = event;
    for (const name of linksOf(record)) one.about.add(name);
    for (const name of subtreesOf(record)) one.within.add(name);
    if (record.unverified.kind === "decision") {
      const { name, bundle_sha256: digest } = record.unverified.value.policy;
      for (const policy of [name, digest, `${name}@${digest}`]) one.policies.add(policy);
    }
    known.set(key, one);
  }
  return [...known.values()].sort((left, right) => left.first - right.first);
}

function isMatch({ event, about, within, policies }: Known, filter: EventFilter): boolean {
  const timeMs = Date.parse(event.timestamp);
  const isAllowed = event.outcome !== "denied" && event.authorized_by !== "nobody";
  const wanted: readonly (boolean | undefined)[] = [
    filter.agent && about.has(filter.agent),
    filter.job && about.has(`job:${filter.job}`),
    filter.actor && event.agent_id === filter.actor,
    filter.subtree && within.has(filter.subtree),
    filter.within && (within.has(filter.within) || within.has("*")),
    filter.owner && event.owner_id === filter.owner,
    filter.action && event.action === filter.action,
    filter.resource && event.resource === filter.resource,
    filter.kind && event.kind === filter.kind,
    filter.outcome && event.outcome === filter.outcome,
    filter.decision && (filter.decision === "deny" ? event.outcome === "denied" : isAllowed),
    filter.policy && policies.has(filter.policy),
    filter.eventId && event.event_id === filter.eventId,
    filter.sinceMs === undefined ? undefined : timeMs >= filter.sinceMs,
    filter.untilMs === undefined ? undefined : timeMs < filter.untilMs,
  ].map((part) => (part === undefined || part === "" ? undefined : part === true));
  return wanted.every((part) => part !== false);
}

function fill(records: readonly UnverifiedRecord[], batch: number): LedgerIndex {
  const index = createLedgerIndex(":memory:", { monoMs: () => 0 });
  for (let from = 0; from < records.length; from += batch)
    index.addRecords(records.slice(from, from + batch), "");
  return index;
}

/** All pages one way, then all back from the last, which must be the same pages. */
function readPages(index: LedgerIndex, filter: EventFilter, order: EventOrder, limit: number) {
  const pages: (readonly JoinedEvent[])[] = [];
  let page = index.query(filter, { limit, order });
  expect(page.previousCursor).toBeNull();
  for (;;) {
    pages.push(page.events);
    if (page.nextCursor === null) break;
    page = index.query(filter, { limit, order, cursor: page.nextCursor });
  }
  for (let at = pages.length - 2; at >= 0; at -= 1) {
    expect(page.previousCursor).not.toBeNull();
    page = index.query(filter, { limit, order, cursor: page.previousCursor ?? "" });
    expect(page.events).toEqual(pages[at]);
  }
  expect(page.previousCursor).toBeNull();
  return pages.flat();
}

const agents = fc.integer({ min: 0, max: SHAPE.agents });
const times = fc.integer({ min: 0, max: 60_000 }).map((offset) => HISTORY_START_MS + offset);
const filters: fc.Arbitrary<EventFilter> = fc.record(
  {
    agent: agents.map(agentName),
    actor: agents.map(agentName),
    subtree: fc.oneof(agents.map(agentName), fc.integer({ min: 0, max: 3 }).map(ownerName)),
    within: fc.oneof(agents.map(agentName), fc.integer({ min: 0, max: 3 }).map(ownerName)),
    owner: fc.integer({ min: 0, max: 3 }).map(ownerName),
    action: fc.integer({ min: 0, max: 4 }).map((number) => `write:a${number}`),
    resource: fc.integer({ min: 0, max: 5 }).map((number) => `postgres://db/${number}`),
    kind: fc.constantFrom("action", "issue", "revoke"),
    outcome: fc.constantFrom("success", "failure", "denied", "pending"),
    decision: fc.constantFrom("allow", "deny"),
    policy: fc.constantFrom("prod", "other"),
    job: fc.tuple(fc.nat(20), fc.nat(6)).map(([number, agent]) => `job-${number}-${agent}`),
    sinceMs: times,
    untilMs: times,
  },
  { requiredKeys: [] },
);

describe("searching the ledger index", () => {
  it("finds what reading the whole log finds, in free combination, both ways, however the log came in", () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer({ min: 1, max: 1_000_000 }),
          actions: fc.integer({ min: 0, max: 150 }),
          batch: fc.constantFrom(1, 7, 1000),
          asked: fc.array(filters, { minLength: 1, maxLength: 8 }),
          limit: fc.integer({ min: 1, max: 40 }),
          order: fc.constantFrom<EventOrder>("newest", "oldest"),
        }),
        ({ seed, actions, batch, asked, limit, order }) => {
          const records = take(seed, actions);
          const index = fill(records, batch);
          const known = readAll(records);
          for (const filter of [{}, ...asked]) {
            const found = known.filter((one) => isMatch(one, filter)).map(({ event }) => event);
            const expected = order === "newest" ? found.reverse() : found;
            expect(readPages(index, filter, order, limit)).toEqual(expected);
          }
          index.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it("finds each version of a policy by its digest alone, and by name and digest", () => {
    const records = take(7, 100);
    const index = fill(records, 50);
    const known = readAll(records);
    const names = new Set(known.flatMap(({ policies }) => [...policies]));
    expect(names.size).toBe(1 + 2 * SHAPE.policies);
    for (const policy of names) {
      const expected = known.filter((one) => one.policies.has(policy)).map(({ event }) => event.event_id);
      const found = index.query({ policy }, { limit: 500, order: "oldest" }).events;
      expect(found.map(({ event_id }) => event_id)).toEqual(expected);
    }
    index.close();
  });

  it("keeps its cursors while the log grows: nothing twice, and nothing passed over", () => {
    const records = take(11, 120);
    const half = records.length >>> 1;
    const index = fill(records.slice(0, half), 64);
    const first = index.query({ kind: "action" }, { limit: 10 });
    index.addRecords(records.slice(half), "");
    const second = index.query({ kind: "action" }, { limit: 10, cursor: first.nextCursor ?? "" });
    const back = index.query({ kind: "action" }, { limit: 10, cursor: second.previousCursor ?? "" });
    const idsOf = (page: { readonly events: readonly JoinedEvent[] }) =>
      page.events.map(({ event_id }) => event_id);
    expect(idsOf(back)).toEqual(idsOf(first));
    expect(new Set([...idsOf(first), ...idsOf(second)]).size).toBe(20);
    // What came meanwhile is before the first page.
    expect(back.previousCursor).not.toBeNull();
    index.close();
  });

  it("refuses a search that takes longer than it may, and answers one that does not", () => {
    let nowMs = 0;
    let stepMs = 0;
    const index = createLedgerIndex(":memory:", { monoMs: () => (nowMs += stepMs) });
    index.addRecords(take(3, 50), "");
    stepMs = 3000;
    expect(index.query({}, { limit: 5 }).events).toHaveLength(5);
    stepMs = 3001;
    expect(() => index.query({}, { limit: 5 })).toThrow(
      expect.objectContaining({ code: "ledger_search_late" }),
    );
    index.close();
  });

  it("searches by key in every statement of a question: no table is read through", () => {
    const directory = mkdtempSync(join(tmpdir(), "index-plan-"));
    const path = join(directory, "index.db");
    const prepare = vi.spyOn(DatabaseSync.prototype, "prepare");
    const index = createLedgerIndex(path, { monoMs: () => 0 });
    index.addRecords(take(5, 20), "");
    index.query({ agent: agentName(1), sinceMs: 0, eventId: "none" }, { limit: 5 });
    index.close();
    // The zones are read whole when the file is opened, and never by a question.
    const selects = [...new Set(prepare.mock.calls.map(([sql]) => sql))].filter(
      (sql) => sql.startsWith("SELECT") && !sql.includes("FROM zones"),
    );
    prepare.mockRestore();
    expect(selects.length).toBeGreaterThanOrEqual(8);
    const database = new DatabaseSync(path);
    for (const sql of selects) {
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all();
      const details = plan.map(({ detail }) => String(detail));
      expect(details, sql).not.toHaveLength(0);
      for (const detail of details) expect(detail, sql).toMatch(/^SEARCH /);
    }
    database.close();
    rmSync(directory, { recursive: true });
  });
});
