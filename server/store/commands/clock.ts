/**
 * The store's floor under the clock: the latest time of any committed command.
 *
 * A clock that goes back would revive expired tickets whose claims are gone, and expired identities. Commands refuse
 * it; a revocation does not, because stopping must always work, and is dated by the floor.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { raiseFloor, readFloor } from "../meta-floor.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";

/** Two honest corrections by a time service stay well below. */
const MAX_BACK_MS = 30_000;

/** Unix milliseconds of the latest committed command; 0 before the first. */
export function readClockFloorMs(database: SqliteDatabase): number {
  return readFloor(database, "clock_ms");
}

/** @throws TrustWardenError `clock_rolled_back`. */
export function requireClock(database: SqliteDatabase, nowMs: number): void {
  const floorMs = readClockFloorMs(database);
  if (nowMs < floorMs - MAX_BACK_MS) throw new TrustWardenError("clock_rolled_back", { nowMs, floorMs });
}

/** When a command that nothing stops is dated, in Unix seconds: never before anything that was committed. */
export function dateOf(database: SqliteDatabase, { nowMs }: { readonly nowMs: number }): number {
  return Math.floor(Math.max(nowMs, readClockFloorMs(database)) / 1000);
}

/** Raises the floor; never lowers it. */
export function raiseClockFloor(database: SqliteDatabase, nowMs: number): void {
  raiseFloor(database, "clock_ms", nowMs);
}
