/**
 * Between which instants the events of each zone of 256 lie. Events are in the order of the log, which is nearly, and not
 * exactly, the order of their times: a zone is wholly inside a range, wholly outside, or looked into.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Events of a zone. A block has a whole number of zones. */
export const ZONE_EVENTS = 256;

export const TIME_ZONES_SCHEMA = `
  CREATE TABLE zones (id INTEGER PRIMARY KEY, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL) STRICT;
`;

/** A range of times, Unix milliseconds. */
export interface TimeRange {
  /** Inclusive. */
  readonly sinceMs: number;
  /** Exclusive. */
  readonly untilMs: number;
}

export type ZoneVerdict = "inside" | "outside" | "across";

interface Zone {
  firstMs: number;
  lastMs: number;
}

/** Owns all zones in memory: about 4 MB for ten million events. They only ever widen. */
export class TimeZones {
  readonly #zones: Zone[] = [];
  readonly #dirty = new Set<number>();
  readonly #put: StatementSync;
  readonly #between: StatementSync;

  constructor(database: DatabaseSync) {
    this.#between = database.prepare("SELECT id, first_ms, last_ms FROM zones WHERE id >= ? AND id < ?");
    this.#put = database.prepare("INSERT OR REPLACE INTO zones (id, first_ms, last_ms) VALUES (?, ?, ?)");
    for (const row of database.prepare("SELECT first_ms, last_ms FROM zones ORDER BY id").iterate())
      this.#zones.push({ firstMs: Number(row.first_ms), lastMs: Number(row.last_ms) });
  }

  /** Reads zones again that somebody else has written. */
  readAgain(from: number, to: number): void {
    for (const { id, first_ms, last_ms } of this.#between.all(from, to))
      this.#zones[Number(id)] = { firstMs: Number(first_ms), lastMs: Number(last_ms) };
  }

  note(event: number, timeMs: number): void {
    const id = Math.floor(event / ZONE_EVENTS);
    const zone = this.#zones[id];
    if (zone === undefined) this.#zones[id] = { firstMs: timeMs, lastMs: timeMs };
    else if (timeMs >= zone.firstMs && timeMs <= zone.lastMs) return;
    else {
      zone.firstMs = Math.min(zone.firstMs, timeMs);
      zone.lastMs = Math.max(zone.lastMs, timeMs);
    }
    this.#dirty.add(id);
  }

  /** Writes what was noted. */
  flush(): void {
    for (const id of this.#dirty) {
      const zone = this.#zones[id];
      if (zone !== undefined) this.#put.run(id, zone.firstMs, zone.lastMs);
    }
    this.#dirty.clear();
  }

  /** How a zone lies to a range. */
  judge(zoneId: number, { sinceMs, untilMs }: TimeRange): ZoneVerdict {
    const zone = this.#zones[zoneId];
    if (zone === undefined || zone.lastMs < sinceMs || zone.firstMs >= untilMs) return "outside";
    return zone.firstMs >= sinceMs && zone.lastMs < untilMs ? "inside" : "across";
  }

  /** Whether any zone of [from, to) is not outside. */
  isTouched(from: number, to: number, range: TimeRange): boolean {
    for (let zone = from; zone < to; zone += 1) if (this.judge(zone, range) !== "outside") return true;
    return false;
  }
}
