/**
 * The store's floor under the clock: the latest time of any committed command.
 *
 * A clock that goes back would revive expired tickets whose claims are gone, and expired identities. Commands refuse
 * it; a revocation does not, because stopping must always work, and is dated by the floor.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";

/** Two honest corrections by a time service stay well below. */
const MAX_BACK_MS = 30_000;

const READ = "SELECT value FROM meta WHERE name = 'clock_ms'";
const RAISE = `
  INSERT INTO meta (name, value) VALUES ('clock_ms', ?)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE CAST(value AS INTEGER) < CAST(excluded.value AS INTEGER)`;

/** Unix milliseconds of the latest committed command; 0 before the first. */
export function readClockFloorMs(database: SqliteDatabase): number {
  return Number(database.get(READ)?.text("value") ?? 0);
}

/** @throws TrustWardenError `clock_rolled_back`. */
export function requireClock(database: SqliteDatabase, nowMs: number): void {
  const floorMs = readClockFloorMs(database);
  if (nowMs < floorMs - MAX_BACK_MS) throw new TrustWardenError("clock_rolled_back", { nowMs, floorMs });
}

/** Raises the floor; never lowers it. */
export function raiseClockFloor(database: SqliteDatabase, nowMs: number): void {
  database.run(RAISE, String(Math.floor(nowMs)));
}
