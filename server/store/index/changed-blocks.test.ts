/** Who reads a growing index forgets what has changed, and answers as one who remembers nothing. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { EventFilter } from "@trustwarden/core/agentledger/query-index.ts";
import { expect, it, onTestFinished } from "vitest";
import { createLedgerIndex, openIndexForReading } from "../ledger-index.ts";
import { CHANGED_BLOCKS_SCHEMA, ChangedBlocks } from "./changed-blocks.ts";
import { agentName, HISTORY_START_MS, inventHistory, ownerName } from "./history.test.support.ts";
import { BLOCK_EVENTS } from "./members.ts";
import { POSTINGS_SCHEMA, Postings } from "./postings.ts";
import { TIME_ZONES_SCHEMA, TimeZones, ZONE_EVENTS } from "./time-zones.ts";

const SHAPE = { owners: 3, agents: 40, actions: 4, resources: 5, policies: 3, jobLength: 6 };
const settings = { monoMs: () => 0 };

const FILTERS: readonly EventFilter[] = [
  {},
  { decision: "deny" },
  { outcome: "pending" },
  { outcome: "success", owner: ownerName(1) },
  { subtree: agentName(0) },
  { sinceMs: HISTORY_START_MS + 5000, untilMs: HISTORY_START_MS + 60_000 },
];

it("a reader answers after each batch as one that was opened then", () => {
  const root = mkdtempSync(join(tmpdir(), "trustwarden-changed-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const path = join(root, "index.db");
  const writer = createLedgerIndex(path, settings);
  const reader = openIndexForReading(path, settings);
  const records = inventHistory(SHAPE, 7).take(400).toArray().flat();
  for (let from = 0; from < records.length; from += 90) {
    writer.addRecords(records.slice(from, from + 90), `${from}`);
    const fresh = openIndexForReading(path, settings);
    for (const filter of FILTERS) {
      const page = { limit: 500 };
      expect(reader.query(filter, page)).toEqual(fresh.query(filter, page));
    }
    fresh.close();
  }
  expect(reader.query({}, { limit: 500 }).events).toHaveLength(400);
  reader.close();
  writer.close();
});

it("a reader begins again with a file that was begun anew", () => {
  const root = mkdtempSync(join(tmpdir(), "trustwarden-anew-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const path = join(root, "index.db");
  const writer = createLedgerIndex(path, settings);
  const reader = openIndexForReading(path, settings);
  const [some, others] = [1, 2].map((seed) => inventHistory(SHAPE, seed).take(60).toArray().flat());
  writer.addRecords(some ?? [], "some");
  reader.query({ decision: "deny" }, { limit: 50 });
  writer.beginAnew();
  writer.addRecords((others ?? []).slice(0, 20), "others");
  expect(reader.query({}, { limit: 50 })).toEqual(writer.query({}, { limit: 50 }));
  reader.close();
  writer.close();
});

it("names the blocks that were written since a size, and only their sets and zones are read again", () => {
  const database = new DatabaseSync(":memory:");
  database.exec(CHANGED_BLOCKS_SCHEMA + POSTINGS_SCHEMA + TIME_ZONES_SCHEMA);
  const [changed, postings, zones] = [
    new ChangedBlocks(database),
    new Postings(database),
    new TimeZones(database),
  ];
  const second = BLOCK_EVENTS + 3;
  for (const event of [0, second]) {
    postings.add(1, event);
    zones.note(event, 1000 + event);
  }
  postings.flush();
  zones.flush();
  changed.note([0, second], 2);
  const [reading, times] = [new Postings(database), new TimeZones(database)];
  const before = [0, 1].map((block) => reading.read(1, block));
  postings.add(1, second + 1);
  postings.flush();
  zones.note(second + 1, 5_000_000);
  zones.flush();
  changed.note([second + 1], 3);
  const blocks = changed.since(2);
  expect([...blocks]).toEqual([1]);
  expect([...changed.since(1)]).toEqual([0, 1]);
  reading.forget(blocks);
  times.readAgain(Math.floor(second / ZONE_EVENTS), Math.floor(second / ZONE_EVENTS) + 1);
  expect(reading.read(1, 0)).toBe(before[0]);
  expect(reading.read(1, 1)).not.toEqual(before[1]);
  const late = { sinceMs: 4_000_000, untilMs: 6_000_000 };
  expect(times.judge(Math.floor(second / ZONE_EVENTS), late)).toBe("across");
});
