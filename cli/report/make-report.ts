/**
 * The figures of a report, from the verified records of a log: the same log and range give the same report, to the byte.
 *
 * Nothing is asked of an index, and no clock is read. Events belong to the range by their own time.
 */
import type { Finding, FindingCode } from "@trustwarden/core/agentledger/finding.ts";
import { formatEventGroup, type JoinedEvent, joinRecord } from "@trustwarden/core/agentledger/join.ts";
import type { UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import type { Control, Framework } from "./framework.ts";
import { MEASURES, type MeasureName, type ReportEvent } from "./measures.ts";
import { describeEvent } from "./words.ts";

/** Events named beside a figure; the first of them, in the order of the log. */
const NAMED = 5;
/** Agents named in the table of who acted. */
const MAX_AGENTS = 20;
const BUCKETS = 24;
const DAY_MS = 86_400_000;
/** Where a finding is about one entry. */
const ENTRY = /^entry (\d+)$/;

/** An event that shows a figure; its entries are proven by `warden ledger prove`. */
export interface NamedEvent {
  readonly event_id: string;
  readonly indexes: readonly number[];
}

export interface Figure {
  readonly label: string;
  readonly count: number;
  readonly events: readonly NamedEvent[];
  /** In the place of events: the first findings in the words of the audit, an entry with its event; or the ends of the log. */
  readonly found?: readonly string[];
}

export interface ReportControl {
  readonly id: string;
  readonly title: string;
  readonly asks: string;
  readonly figures: readonly Figure[];
  readonly notShown: readonly string[];
}

export interface ReportFramework {
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly controls: readonly ReportControl[];
}

/** What agents did in a part of the range. */
export interface Bucket {
  readonly since: string;
  readonly success: number;
  readonly failure: number;
  readonly aborted: number;
  readonly denied: number;
  readonly pending: number;
}

export interface AgentRow {
  readonly agent: string;
  readonly owner: string;
  readonly actions: number;
  readonly denied: number;
}

/** What the log is, and how far it was checked. */
export interface VerifiedLog {
  readonly origin: string;
  readonly size: number;
  /** base64 */
  readonly root: string;
  readonly vkey: string;
  readonly signatures: number;
  /** What vouches for the log besides itself, as a sentence. */
  readonly witnessed: string;
  /** Whose word the log's key and the trust roots are, as a sentence. */
  readonly trust: string;
  readonly findings: readonly Finding[];
}

export interface Report {
  readonly v: 1;
  readonly log: Omit<VerifiedLog, "findings"> & { readonly alarms: number };
  readonly range: { readonly since: string; readonly until: string };
  readonly events: number;
  readonly activity: readonly Bucket[];
  readonly agents: readonly AgentRow[];
  readonly frameworks: readonly ReportFramework[];
}

/** Unix milliseconds; what is not given is the log's own end. */
export interface ReportRange {
  /** Inclusive. */
  readonly sinceMs: number | undefined;
  /** Exclusive. */
  readonly untilMs: number | undefined;
}

/** Joins records as they come, in the order of the log. Owns all events of the log. */
export class EventCollector {
  readonly #events = new Map<string, { event: JoinedEvent } & ReportEvent>();

  add(index: number, record: UnverifiedRecord): void {
    const group = formatEventGroup(record);
    const known = this.#events.get(group);
    const { unverified } = record;
    this.#events.set(group, {
      event: joinRecord(known?.event ?? null, record, index),
      decision: unverified.kind === "decision" ? unverified.value : (known?.decision ?? null),
      control: unverified.kind === "control" ? unverified.value : (known?.control ?? null),
    });
  }

  /** All events so far, by their first records. */
  events(): readonly ReportEvent[] {
    return [...this.#events.values()];
  }
}

/** The report on the events of a verified log. */
export function makeReport(
  log: VerifiedLog,
  {
    events,
    range,
    frameworks,
  }: {
    readonly events: readonly ReportEvent[];
    readonly range: ReportRange;
    readonly frameworks: readonly Framework[];
  },
): Report {
  const times = events.map(timeOf);
  const first = times.reduce((least, time) => Math.min(least, time), Number.POSITIVE_INFINITY);
  const last = times.reduce((most, time) => Math.max(most, time), Number.NEGATIVE_INFINITY);
  const sinceMs = range.sinceMs ?? (events.length === 0 ? 0 : first);
  const untilMs = range.untilMs ?? (events.length === 0 ? 0 : last + 1);
  const chosen = events.filter((event) => timeOf(event) >= sinceMs && timeOf(event) < untilMs);
  const { findings, ...facts } = log;
  return {
    v: 1,
    log: { ...facts, alarms: findings.length },
    range: { since: new Date(sinceMs).toISOString(), until: new Date(untilMs).toISOString() },
    events: chosen.length,
    activity: countActivity(chosen, { sinceMs, untilMs }),
    agents: countAgents(chosen),
    frameworks: frameworks.map(({ id, title, source, controls }) => ({
      id,
      title,
      source,
      controls: controls.map((control) => reportControl(control, { events: chosen, findings, all: events })),
    })),
  };
}

function timeOf({ event }: ReportEvent): number {
  return Date.parse(event.timestamp);
}

function reportControl(
  control: Control,
  found: {
    readonly events: readonly ReportEvent[];
    readonly findings: readonly Finding[];
    /** Of the whole log. */
    readonly all: readonly ReportEvent[];
  },
): ReportControl {
  const { id, title, asks, shownBy, against = [], isAboutSpan = false, notShown } = control;
  const figures = shownBy.map((name) => measure(name, found.events));
  const contradictions = against.map((code) =>
    describeFindings(
      code,
      found.findings.filter((finding) => finding.code === code),
      found.all,
    ),
  );
  const span = isAboutSpan ? [describeSpan(found.all)] : [];
  return { id, title, asks, figures: [...figures, ...contradictions, ...span], notShown };
}

/** @param events - of the whole log, as the audit is. */
function describeFindings(
  code: FindingCode,
  findings: readonly Finding[],
  events: readonly ReportEvent[],
): Figure {
  const found = findings.slice(0, NAMED).map(({ place, detail }) => {
    const index = Number(ENTRY.exec(place)?.[1] ?? Number.NaN);
    const of = events.find(({ event }) => event.indexes.includes(index));
    return `${place}${of === undefined ? "" : ` of ${of.event.event_id}`}: ${detail}`;
  });
  const label = `findings of the audit of the whole log: ${code.replaceAll("_", " ")}`;
  const others = findings.length - found.length;
  const all = others > 0 ? [...found, `and ${others} more`] : found;
  return { label, count: findings.length, events: [], found: all };
}

/** How long the log goes, from its first event to its last by their own times, both named. */
function describeSpan(events: readonly ReportEvent[]): Figure {
  const inTime = events.toSorted((left, right) => timeOf(left) - timeOf(right));
  const [first, last] = [inTime.at(0), inTime.at(-1)];
  const from = first === undefined ? "nothing" : new Date(timeOf(first)).toISOString();
  return {
    label: `whole days between the first event of this log (${from}) and its last`,
    count:
      first === undefined || last === undefined ? 0 : Math.floor((timeOf(last) - timeOf(first)) / DAY_MS),
    events: [],
    found: [...new Set([first, last])].flatMap((one) =>
      one === undefined ? [] : [describeEvent(nameOf(one))],
    ),
  };
}

function measure(name: MeasureName, events: readonly ReportEvent[]): Figure {
  const { label, counts } = MEASURES[name];
  const counted = events.filter(counts);
  return { label, count: counted.length, events: counted.slice(0, NAMED).map(nameOf) };
}

function nameOf({ event: { event_id, indexes } }: ReportEvent): NamedEvent {
  return { event_id, indexes };
}

function countActivity(
  events: readonly ReportEvent[],
  { sinceMs, untilMs }: { readonly sinceMs: number; readonly untilMs: number },
): readonly Bucket[] {
  const width = Math.max(1, (untilMs - sinceMs) / BUCKETS);
  const buckets = Array.from({ length: BUCKETS }, (_, at) => ({
    since: new Date(Math.floor(sinceMs + at * width)).toISOString(),
    success: 0,
    failure: 0,
    aborted: 0,
    denied: 0,
    pending: 0,
  }));
  for (const { event } of events) {
    if (event.kind !== "action") continue;
    const bucket =
      buckets[Math.min(BUCKETS - 1, Math.floor((Date.parse(event.timestamp) - sinceMs) / width))];
    if (bucket !== undefined) bucket[event.outcome] += 1;
  }
  return buckets;
}

function countAgents(events: readonly ReportEvent[]): readonly AgentRow[] {
  const rows = new Map<string, { agent: string; owner: string; actions: number; denied: number }>();
  for (const { event } of events) {
    if (event.kind !== "action" || event.agent_id === null) continue;
    const row = rows.get(event.agent_id) ?? {
      agent: event.agent_id,
      owner: event.owner_id ?? "-",
      actions: 0,
      denied: 0,
    };
    row.actions += 1;
    row.denied += event.outcome === "denied" ? 1 : 0;
    rows.set(event.agent_id, row);
  }
  // By id among equals, so that the order does not depend on anything else.
  return [...rows.values()]
    .sort((left, right) => right.actions - left.actions || (left.agent < right.agent ? -1 : 1))
    .slice(0, MAX_AGENTS);
}
