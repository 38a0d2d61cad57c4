/**
 * Questions to the ledger index as SQL: every value is a bound parameter, never a part of the statement.
 */
import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";
import { EVERYONE, type JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type { EventFilter, EventPage, EventPageRequest } from "@trustwarden/core/agentledger/query-index.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** What the API asks for at most. */
const MAX_LIMIT = 500;
const CURSOR = /^e(0|[1-9]\d{0,15})$/;

type Row = Record<string, SQLOutputValue>;

interface Condition {
  readonly sql: string;
  readonly value: SQLInputValue | undefined;
}

/**
 * A page of events, newest first.
 *
 * @throws TrustWardenError `request_malformed` for a cursor that no page gave.
 */
export function selectEvents(
  database: DatabaseSync,
  filter: EventFilter,
  { limit, cursor }: EventPageRequest,
): EventPage {
  const wanted = Math.max(1, Math.min(limit, MAX_LIMIT));
  const conditions = conditionsOf(filter, cursor).filter(({ value }) => value !== undefined);
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.map(({ sql }) => sql).join(" AND ")}`;
  const values = conditions.flatMap(({ value }) => (value === undefined ? [] : [value]));
  const statement = database.prepare(`SELECT id, view FROM events ${where} ORDER BY id DESC LIMIT ?`);
  // One more than wanted tells whether there is a next page.
  const rows = statement.all(...values, wanted + 1);
  const shown = rows.slice(0, wanted);
  const nextCursor = rows.length > wanted ? `e${String(shown.at(-1)?.id)}` : null;
  return { events: shown.map(eventOfRow), nextCursor };
}

/** The event of a row. */
export function eventOfRow(row: Row): JoinedEvent {
  // The one cast of this reader: the index wrote the text from a `JoinedEvent` and trusts nobody with its file.
  return JSON.parse(String(row.view)) as JoinedEvent;
}

function conditionsOf(filter: EventFilter, cursor: string | undefined): readonly Condition[] {
  return [
    { sql: "id < ?", value: cursor === undefined ? undefined : parseCursor(cursor) },
    { sql: "id IN (SELECT event FROM links WHERE role = 'about' AND name = ?)", value: filter.agent },
    {
      sql: `id IN (SELECT event FROM links WHERE role = 'within' AND name IN (?, '${EVERYONE}'))`,
      value: filter.within,
    },
    { sql: "owner = ?", value: filter.owner },
    { sql: "action = ?", value: filter.action },
    { sql: "resource = ?", value: filter.resource },
    { sql: "time_ms >= ?", value: filter.sinceMs },
    { sql: "time_ms < ?", value: filter.untilMs },
    { sql: "outcome = ?", value: filter.outcome },
    { sql: "kind = ?", value: filter.kind },
    { sql: "event_id = ?", value: filter.eventId },
  ];
}

function parseCursor(cursor: string): number {
  const digits = CURSOR.exec(cursor)?.[1];
  if (digits === undefined) throw new TrustWardenError("request_malformed", { field: "cursor" });
  return Number(digits);
}
