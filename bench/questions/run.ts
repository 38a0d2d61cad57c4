/**
 * `./dev bench questions`: how long a page of the ledger's index takes on a log of ten million events, for each filter
 * alone and for combinations, and how fast the index is made.
 *
 *   node bench/questions/run.ts [--events 10000000] [--pages 200] [--rebuild 20000] [--between 0] [--keep FILE] [--json]
 *
 * The large index is written from made-up records by the code that writes real ones, a quarter of a million events, and these are repeated
 * (`repeat.ts`); what is left out is the reading of tiles and the parsing of entries, which the second part measures on a smaller log, through
 * real tiles. With `--keep` the large index stays, and is used again by the next run. With `--between` so many entries come in before each
 * question, which is answered with all of them.
 */
import { copyFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { EventFilter, EventPageRequest } from "@trustwarden/core/agentledger/query-index.ts";
import type { UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import {
  agentName,
  createDice,
  DESCENDANTS,
  HISTORY_START_MS,
  type HistoryShape,
  inventHistory,
  ownerName,
  policyDigest,
} from "../../server/store/index/history.test.support.ts";
import { createLedgerIndex, digestOf } from "../../server/store/ledger-index.ts";
import { ThreadedLedgerIndex } from "../../server/store/threaded-ledger-index.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { percentile } from "../measure.ts";
import { ComingLog } from "./coming-log.ts";
import { measureRebuild } from "./rebuild.ts";
import { PART_EVENTS, partsOf, repeatPart } from "./repeat.ts";

/** A company with twenty thousand agents, half of them below one. */
const SHAPE: HistoryShape = {
  owners: 50,
  agents: 2 * DESCENDANTS,
  actions: 40,
  resources: 5000,
  policies: 12,
  jobLength: 400,
};
const SEED = 20_261_122;
const BATCH = 16_384;
const PAGE = 50;
const GOAL_MS = 20;
/** Stands for the last entry of the made-up log. */
const LAST = encodeUtf8("the end of a made-up log");

interface Measured {
  readonly name: string;
  readonly p50_ms: number;
  readonly p95_ms: number;
  readonly max_ms: number;
  /** Processor time of all threads at the median, what came in before the question included: what else the machine does changes it less. */
  readonly cpu_ms: number;
  /** Events of a page, on average. */
  readonly rows: number;
}

interface Report {
  readonly machine: ReturnType<typeof describeMachine>;
  readonly versions: ReturnType<typeof describeVersions>;
  readonly written: ReturnType<typeof write>;
  readonly questions: readonly Measured[];
  readonly rebuild: Awaited<ReturnType<typeof measureRebuild>>;
}

type Roll = (sides: number) => number;

/** A question, asked anew with other names each time. */
interface Question {
  readonly name: string;
  readonly ask: (roll: Roll) => EventFilter;
  readonly page?: (roll: Roll) => Partial<EventPageRequest>;
}

const anyAgent = (roll: Roll) => agentName(roll(SHAPE.agents));
const anyAction = (roll: Roll) => `write:a${roll(SHAPE.actions)}`;
const anyResource = (roll: Roll) => `postgres://db/${roll(SHAPE.resources)}`;
const anyTime = (roll: Roll) => HISTORY_START_MS + roll(1000) * Math.floor(span / 1000);
/** An hour, somewhere. */
const anyHour = (roll: Roll) => {
  const sinceMs = anyTime(roll);
  return { sinceMs, untilMs: sinceMs + 3_600_000 };
};

const QUESTIONS: readonly Question[] = [
  { name: "nothing: the newest", ask: () => ({}) },
  { name: "agent (and what is below it)", ask: (roll) => ({ agent: anyAgent(roll) }) },
  { name: "actor", ask: (roll) => ({ actor: anyAgent(roll) }) },
  { name: `subtree of ${DESCENDANTS} descendants`, ask: () => ({ subtree: agentName(0) }) },
  { name: "owner", ask: (roll) => ({ owner: ownerName(roll(SHAPE.owners)) }) },
  { name: "action", ask: (roll) => ({ action: anyAction(roll) }) },
  { name: "resource", ask: (roll) => ({ resource: anyResource(roll) }) },
  { name: "decision: deny", ask: () => ({ decision: "deny" }) },
  { name: "outcome: failure", ask: () => ({ outcome: "failure" }) },
  { name: "outcome: pending", ask: () => ({ outcome: "pending" }) },
  { name: "policy version", ask: (roll) => ({ policy: policyDigest(roll(SHAPE.policies)) }) },
  { name: "kind: revoke", ask: () => ({ kind: "revoke" }) },
  { name: "job", ask: (roll) => ({ job: `job-${roll(Math.floor(written / SHAPE.jobLength))}-${roll(7)}` }) },
  { name: "time: an hour in the middle", ask: anyHour },
  { name: "nobody", ask: () => ({ agent: "agt_nobody" }) },
  { name: "rare agent + common action", ask: (roll) => ({ actor: anyAgent(roll), action: "write:a0" }) },
  { name: "large subtree + deny", ask: () => ({ subtree: agentName(0), decision: "deny" }) },
  {
    name: "large subtree + resource + failure",
    ask: (roll) => ({ subtree: agentName(0), resource: anyResource(roll), outcome: "failure" }),
  },
  { name: "owner + hour", ask: (roll) => ({ owner: ownerName(roll(SHAPE.owners)), ...anyHour(roll) }) },
  {
    name: "owner + action + deny + first half",
    ask: (roll) => ({
      owner: ownerName(roll(SHAPE.owners)),
      action: anyAction(roll),
      decision: "deny",
      untilMs: HISTORY_START_MS + span / 2,
    }),
  },
  {
    name: "seen by an owner + action",
    ask: (roll) => ({ within: ownerName(roll(50)), action: anyAction(roll) }),
  },
  {
    name: "two that are common and never together",
    ask: () => ({ decision: "deny", outcome: "success" }),
  },
  {
    name: "three that are common and never together",
    ask: () => ({ subtree: agentName(0), decision: "deny", outcome: "success" }),
  },
  {
    name: "deep page of everything",
    ask: () => ({}),
    page: (roll) => ({ cursor: `e${Math.floor(events / 1000) * roll(1000)}` }),
  },
  {
    name: "deep page of a large subtree + action, backwards",
    ask: (roll) => ({ subtree: agentName(0), action: anyAction(roll) }),
    page: (roll) => ({ cursor: `b${Math.floor(events / 1000) * roll(1000)}` }),
  },
  {
    name: "oldest first, agent",
    ask: (roll) => ({ agent: anyAgent(roll) }),
    page: () => ({ order: "oldest" }),
  },
];

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "10000000" },
    pages: { type: "string", default: "200" },
    rebuild: { type: "string", default: "20000" },
    between: { type: "string", default: "0" },
    keep: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const parts = partsOf(Number(values.events));
/** A large index is one of whole parts. */
const events = parts === 1 ? Number(values.events) : parts * PART_EVENTS;
/** Written one by one; the others repeat them. */
const written = parts === 1 ? events : PART_EVENTS;
const between = Number(values.between);
const span = events * 250;
const directory = mkdtempSync(join(tmpdir(), "bench-questions-"));
try {
  await main();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const machine = describeMachine();
  const path = values.keep ?? join(directory, "index.db");
  const made = write(path);
  const questions = await askAll(between > 0 ? copyOf(path) : path, made.entries);
  const rebuild = await measureRebuild({
    directory: join(directory, "log"),
    actions: Number(values.rebuild),
    events,
  });
  const report = {
    machine,
    versions: describeVersions(),
    events,
    entries_between: between,
    written: made,
    questions,
    rebuild,
  };
  keepResult("questions", report);
  console.log(values.json ? JSON.stringify(report, null, 2) : formatReport(report));
}

/** Writes the large index, unless it was kept. */
function write(path: string) {
  const startedMs = performance.now();
  const index = createLedgerIndex(path, { monoMs: () => performance.now() });
  const isKept = index.progress.size > 0;
  let known = 0;
  let records: UnverifiedRecord[] = [];
  for (const some of isKept ? [] : inventHistory(SHAPE, SEED)) {
    records.push(...some);
    known += 1;
    if (records.length < BATCH && known < written) continue;
    index.addRecords(records, digestOf(LAST));
    records = [];
    process.stderr.write(`\r${known} events`);
    if (known >= written) break;
  }
  const ofPart = index.progress.size;
  index.close();
  const seconds = (performance.now() - startedMs) / 1000;
  if (!isKept && parts > 1) repeatPart(path, parts);
  const entries = isKept ? ofPart : parts * ofPart;
  const bytes = statSync(path).size;
  const rate = isKept ? null : { seconds, events_per_second: Math.round(written / seconds) };
  return { entries, rate, bytes, bytes_per_event: Math.round(bytes / events) };
}

async function askAll(path: string, size: number): Promise<readonly Measured[]> {
  const index = new ThreadedLedgerIndex({ path, onLost: () => undefined });
  const log = new ComingLog({ size, last: LAST, count: between * QUESTIONS.length * Number(values.pages) });
  await index.catchUp(log);
  const measured: Measured[] = [];
  for (const question of QUESTIONS)
    measured.push(await askOften(index, question, () => log.comeIn(index, between)));
  await index.close();
  return measured;
}

/** What is written belongs to no log that the kept file could be of. */
function copyOf(path: string): string {
  const copy = join(directory, "written.db");
  copyFileSync(path, copy);
  return copy;
}

async function askOften(
  index: ThreadedLedgerIndex,
  { name, ask, page }: Question,
  beforeEach: () => void,
): Promise<Measured> {
  const roll = createDice(SEED);
  const times: number[] = [];
  const cpus: number[] = [];
  let found = 0;
  for (let count = 0; count < Number(values.pages); count += 1) {
    const filter = ask(roll);
    const request = { limit: PAGE, ...page?.(roll) };
    const before = process.cpuUsage();
    beforeEach();
    const startedMs = performance.now();
    const { events: shown } = await index.query(filter, request);
    times.push(performance.now() - startedMs);
    const { user, system } = process.cpuUsage(before);
    cpus.push((user + system) / 1000);
    found += shown.length;
  }
  const at = (share: number, of = times) => Number(percentile(of, share).toFixed(2));
  const rows = found / times.length;
  return { name, p50_ms: at(50), p95_ms: at(95), max_ms: at(100), cpu_ms: at(50, cpus), rows };
}

function formatReport({ machine, versions, written, questions, rebuild }: Report): string {
  const { cpu, cores, memory_gib: memory, os, load } = machine;
  const rows = questions.map(({ name, p50_ms, p95_ms, max_ms, cpu_ms, rows }) =>
    [name.padEnd(52), p50_ms, p95_ms, max_ms, cpu_ms, rows.toFixed(1)]
      .map((cell) => String(cell).padStart(9))
      .join(" "),
  );
  const late = questions.filter(({ p50_ms }) => p50_ms > GOAL_MS).length;
  const { rate } = written;
  return [
    `${cpu}, ${cores} cores, ${memory} GiB, ${os}; load ${load}; ${JSON.stringify(versions)}`,
    `${events} events (${written.entries} entries); index ${(written.bytes / 1e9).toFixed(2)} GB, ${written.bytes_per_event} bytes an event`,
    rate === null
      ? "index kept from before"
      : `written in ${rate.seconds.toFixed(0)} s, ${rate.events_per_second} events/s`,
    "",
    between === 0 ? "nothing is written meanwhile" : `${between} entries come in before each question`,
    ["a page of 50, through the index's thread (ms)".padEnd(52), "p50", "p95", "max", "cpu", "rows"]
      .map((cell) => cell.padStart(9))
      .join(" "),
    ...rows,
    late === 0 ? `every p50 is within ${GOAL_MS} ms` : `${late} are NOT within ${GOAL_MS} ms`,
    "",
    `rebuild through real tiles: ${rebuild.events} events (${rebuild.entries} entries) in ${rebuild.seconds.toFixed(1)} s, ${rebuild.events_per_second} events/s`,
    `at that rate ${events} events take ${rebuild.minutes_for_all.toFixed(0)} minutes`,
  ].join("\n");
}
