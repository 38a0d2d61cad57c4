/**
 * Joined events as rows: names as numbers of `Texts`, digests as bytes, so that an event takes a quarter of the room of
 * its JSON.
 */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import { encodeBase64, parseBase64 } from "@trustwarden/core/bytes.ts";
import type { Texts } from "./texts.ts";

/** An event that the index knows. */
export interface StoredEvent {
  /** Counts the events of the log from 0, by their first records. */
  readonly id: number;
  readonly event: JoinedEvent;
  /** Log index of its first outcome. */
  readonly outcomeAt: number | null;
}

/** What an event is found by when its next record comes. */
export interface EventKey {
  readonly eventId: string;
  /** SHA-256 of the intent's entry, or of the control record's own. */
  readonly digest: Uint8Array;
}

type Row = Record<string, SQLOutputValue>;

const NAMES = [
  "kind",
  "agent_id",
  "agent_identity",
  "parent_agent_id",
  "owner_id",
  "action",
  "resource",
  "outcome",
  "class",
  "enforcement",
  "authorized_by",
] as const;
const COLUMNS = [
  "id",
  "event_id",
  "digest",
  "time_ms",
  "odd_time",
  "indexes",
  "outcome_at",
  "signature",
  "chain",
  "reasons",
  ...NAMES,
];

/** SQL of the table and its one index: everything else is found by postings. */
export const EVENT_ROWS_SCHEMA = `
  CREATE TABLE events (
    id INTEGER PRIMARY KEY, event_id BLOB NOT NULL, digest BLOB NOT NULL, time_ms INTEGER NOT NULL, odd_time TEXT,
    indexes TEXT NOT NULL, outcome_at INTEGER, signature BLOB NOT NULL, chain INTEGER NOT NULL, reasons INTEGER NOT NULL,
    ${NAMES.map((name) => `${name} INTEGER`).join(", ")}
  ) STRICT;
  CREATE INDEX events_event_id ON events (event_id);
`;

/** Owns no rows, only the statements. */
export class EventRows {
  readonly #texts: Texts;
  readonly #put: StatementSync;
  readonly #get: StatementSync;
  readonly #find: StatementSync;
  readonly #named: StatementSync;
  readonly #time: StatementSync;
  readonly #count: StatementSync;

  constructor(database: DatabaseSync, texts: Texts) {
    this.#texts = texts;
    const places = COLUMNS.map(() => "?").join(", ");
    this.#put = database.prepare(`INSERT OR REPLACE INTO events (${COLUMNS.join(", ")}) VALUES (${places})`);
    this.#get = database.prepare("SELECT * FROM events WHERE id = ?");
    this.#find = database.prepare("SELECT * FROM events WHERE event_id = ? AND digest = ?");
    this.#named = database.prepare("SELECT id FROM events WHERE event_id = ? ORDER BY id");
    this.#time = database.prepare("SELECT time_ms FROM events WHERE id = ?");
    this.#count = database.prepare("SELECT max(id) AS last FROM events");
  }

  /** Events so far, and so the number of the next. */
  count(): number {
    const last = this.#count.get()?.last;
    return typeof last === "number" ? last + 1 : 0;
  }

  /** Undefined for a number that no event has. */
  read(id: number): JoinedEvent | undefined {
    const row = this.#get.get(id);
    return row === undefined ? undefined : this.#eventOf(row);
  }

  find({ eventId, digest }: EventKey): StoredEvent | undefined {
    const row = this.#find.get(encodeUuid(eventId), digest);
    if (row === undefined) return undefined;
    const outcomeAt = row.outcome_at === null ? null : Number(row.outcome_at);
    return { id: Number(row.id), event: this.#eventOf(row), outcomeAt };
  }

  /** Numbers of all events with an id, ascending: agents choose theirs, and one may copy another's. */
  named(eventId: string): readonly number[] {
    const bytes = encodeUuid(eventId);
    return decodeUuid(bytes) === eventId ? this.#named.all(bytes).map(({ id }) => Number(id)) : [];
  }

  /** Unix milliseconds. */
  readTime(id: number): number {
    return Number(this.#time.get(id)?.time_ms);
  }

  put({ id, event, outcomeAt }: StoredEvent, digest: Uint8Array): void {
    const timeMs = Date.parse(event.timestamp);
    const isCanonical = new Date(timeMs).toISOString() === event.timestamp;
    const intern = (text: string | null): SQLInputValue => (text === null ? null : this.#texts.intern(text));
    this.#put.run(
      id,
      encodeUuid(event.event_id),
      digest,
      timeMs,
      isCanonical ? null : event.timestamp,
      event.indexes.join(","),
      outcomeAt,
      parseBase64(event.signature),
      this.#texts.intern(JSON.stringify(event.chain)),
      this.#texts.intern(JSON.stringify(event.reasons)),
      ...NAMES.map((name) => intern(event[name])),
    );
  }

  #eventOf(row: Row): JoinedEvent {
    const text = (name: string): string | null => {
      const number = row[name];
      return typeof number === "number" ? this.#texts.read(number) : null;
    };
    const view = {
      event_id: decodeUuid(bytesOf(row.event_id)),
      ...Object.fromEntries(NAMES.map((name) => [name, text(name)])),
      chain: JSON.parse(text("chain") ?? "[]"),
      timestamp:
        typeof row.odd_time === "string" ? row.odd_time : new Date(Number(row.time_ms)).toISOString(),
      reasons: JSON.parse(text("reasons") ?? "[]"),
      signature: encodeBase64(bytesOf(row.signature)),
      indexes: String(row.indexes).split(",").map(Number),
    };
    // The one cast of this reader: the index wrote the row from a `JoinedEvent`, and no answer rests on it unproven.
    return view as unknown as JoinedEvent;
  }
}

function bytesOf(value: SQLOutputValue | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

/** 16 bytes; fewer of a text that is no UUID. */
function encodeUuid(text: string): Uint8Array {
  return Buffer.from(text.replaceAll("-", ""), "hex");
}

function decodeUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
