/**
 * Questions to the index: block by block from one end, the intersection of what has each term, until the page is full.
 *
 * Every step is a search by key and bounded, whatever is asked for in whatever combination: a block costs microseconds,
 * and there is one for 65,536 events. The deadline is for logs that are larger than anybody expected.
 */

import { termsOfFilter } from "@trustwarden/core/agentledger/event-terms.ts";
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type { EventFilter, EventPage, EventPageRequest } from "@trustwarden/core/agentledger/query-index.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ChangedBlocks } from "./changed-blocks.ts";
import type { EventRows } from "./event-rows.ts";
import { BLOCK_EVENTS, intersect, type Members, unite } from "./members.ts";
import type { Postings } from "./postings.ts";
import type { Texts } from "./texts.ts";
import { type TimeRange, type TimeZones, ZONE_EVENTS } from "./time-zones.ts";

/** What the API asks for at most. */
const MAX_LIMIT = 500;
/** Whether what is behind or before an event of the page is asked for, and its number. */
const CURSOR = /^([eb])(0|[1-9]\d{0,15})$/;

/** What a search reads, and what says how old it is. */
export interface IndexTables {
  readonly changed: ChangedBlocks;
  readonly rows: EventRows;
  readonly texts: Texts;
  readonly postings: Postings;
  readonly zones: TimeZones;
}

/** Refuses to go on when the time is up. */
export type RequireTime = () => void;

/** Which events are looked at, and which way. */
interface Scan {
  readonly step: 1 | -1;
  /** First number that may be found. */
  readonly low: number;
  /** Last number that may be found. */
  readonly high: number;
}

/** What an event must be besides its terms. */
interface Wanted {
  /** One of each group, as numbers. */
  readonly groups: readonly (readonly number[])[];
  readonly times: TimeRange | null;
  /** These only; null for any. */
  readonly ids: ReadonlySet<number> | null;
}

/**
 * A page of events.
 *
 * @throws TrustWardenError `request_malformed` for a cursor that no page gave; whatever `requireTime` throws.
 */
export function searchEvents(
  tables: IndexTables,
  filter: EventFilter,
  page: EventPageRequest & { readonly requireTime: RequireTime },
): EventPage {
  const limit = Math.max(1, Math.min(page.limit, MAX_LIMIT));
  const isOldestFirst = page.order === "oldest";
  const cursor = page.cursor === undefined ? null : parseCursor(page.cursor);
  const isBackwards = cursor?.isBefore === true;
  const scan = scanOf({
    isAscending: isOldestFirst !== isBackwards,
    after: cursor?.id,
    end: tables.rows.count(),
  });
  const wanted = wantedOf(tables, filter);
  // One more than fits tells whether there is another page that way.
  const found =
    wanted === null ? [] : find(tables, wanted, { ...scan, count: limit + 1, requireTime: page.requireTime });
  const shown = found.slice(0, limit);
  const ids = isBackwards ? shown.reverse() : shown;
  const isMoreAhead = found.length > limit;
  // Where a cursor led away from there was an event.
  const hasNext = isBackwards || isMoreAhead;
  const hasPrevious = isBackwards ? isMoreAhead : cursor !== null;
  return {
    events: ids.map((id) => requireEvent(tables.rows.read(id))),
    nextCursor: hasNext && ids.length > 0 ? `e${ids.at(-1)}` : null,
    previousCursor: hasPrevious && ids.length > 0 ? `b${ids[0]}` : null,
  };
}

function requireEvent(event: JoinedEvent | undefined): JoinedEvent {
  if (event === undefined) throw new Error("the index names an event that it does not have");
  return event;
}

function scanOf({
  isAscending,
  after,
  end,
}: {
  readonly isAscending: boolean;
  readonly after: number | undefined;
  readonly end: number;
}): Scan {
  if (isAscending) return { step: 1, low: after === undefined ? 0 : after + 1, high: end - 1 };
  return { step: -1, low: 0, high: Math.min(end, after ?? end) - 1 };
}

/** Null when something is asked for that no event has. */
function wantedOf({ rows, texts }: IndexTables, filter: EventFilter): Wanted | null {
  const groups = termsOfFilter(filter).map((terms) =>
    terms.map((term) => texts.find(term)).filter((number) => number !== undefined),
  );
  if (groups.some((numbers) => numbers.length === 0)) return null;
  const { sinceMs, untilMs, eventId } = filter;
  const times =
    sinceMs === undefined && untilMs === undefined
      ? null
      : { sinceMs: sinceMs ?? Number.NEGATIVE_INFINITY, untilMs: untilMs ?? Number.POSITIVE_INFINITY };
  return { groups, times, ids: eventId === undefined ? null : new Set(rows.named(eventId)) };
}

function find(
  tables: IndexTables,
  wanted: Wanted,
  {
    step,
    low,
    high,
    count,
    requireTime,
  }: Scan & { readonly count: number; readonly requireTime: RequireTime },
): number[] {
  const found: number[] = [];
  for (const block of blocksOf(wanted, { step, low, high })) {
    requireTime();
    const members = membersOf(tables, wanted, block);
    for (let at = step === 1 ? 0 : members.length - 1; at >= 0 && at < members.length; at += step) {
      const id = block * BLOCK_EVENTS + (members[at] ?? 0);
      if (id < low || id > high || !isInTime(tables, wanted, { id, requireTime })) continue;
      found.push(id);
      if (found.length >= count) return found;
    }
  }
  return found;
}

/** The blocks between two numbers; of an event id only those that hold it. */
function* blocksOf({ ids }: Wanted, { step, low, high }: Scan): Generator<number> {
  if (low > high) return;
  const [first, last] = [Math.floor(low / BLOCK_EVENTS), Math.floor(high / BLOCK_EVENTS)];
  const holding = ids === null ? null : new Set([...ids].map((id) => Math.floor(id / BLOCK_EVENTS)));
  for (let block = step === 1 ? first : last; block >= first && block <= last; block += step)
    if (holding === null || holding.has(block)) yield block;
}

/** Ascending numbers within the block. */
function membersOf(
  { postings, zones }: IndexTables,
  { groups, times, ids }: Wanted,
  block: number,
): Uint16Array {
  const zonesOfBlock = BLOCK_EVENTS / ZONE_EVENTS;
  const isTouched =
    times === null || zones.isTouched(block * zonesOfBlock, (block + 1) * zonesOfBlock, times);
  if (!isTouched) return new Uint16Array(0);
  const sets: Members[] = [];
  if (ids !== null) sets.push(listMembers(ids, block));
  for (const terms of groups) {
    const having = terms.map((term) => postings.read(term, block)).filter((set) => set !== null);
    if (having.length === 0) return new Uint16Array(0);
    sets.push(unite(having));
  }
  return sets.length === 0 ? EVERY_MEMBER : intersect(sets);
}

/** Ascending. */
function listMembers(ids: ReadonlySet<number>, block: number): Members {
  const inside = [...ids].filter((id) => Math.floor(id / BLOCK_EVENTS) === block);
  return { kind: "list", numbers: Uint16Array.from(inside, (id) => id % BLOCK_EVENTS) };
}

const EVERY_MEMBER = Uint16Array.from({ length: BLOCK_EVENTS }, (_, number) => number);

function isInTime(
  { rows, zones }: IndexTables,
  { times }: Wanted,
  { id, requireTime }: { readonly id: number; readonly requireTime: RequireTime },
): boolean {
  if (times === null) return true;
  switch (zones.judge(Math.floor(id / ZONE_EVENTS), times)) {
    case "inside":
      return true;
    case "outside":
      return false;
    case "across": {
      requireTime();
      const timeMs = rows.readTime(id);
      return timeMs >= times.sinceMs && timeMs < times.untilMs;
    }
  }
}

function parseCursor(cursor: string): { readonly isBefore: boolean; readonly id: number } {
  const [, side, digits] = CURSOR.exec(cursor) ?? [];
  if (digits === undefined) throw new TrustWardenError("request_malformed", { field: "cursor" });
  return { isBefore: side === "b", id: Number(digits) };
}
