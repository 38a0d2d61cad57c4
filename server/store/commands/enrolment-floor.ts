/**
 * The floor under enrolments that a restore leaves: whatever was signed before it may have been used after the backup was made, and
 * the tables that would say so are the backup's.
 *
 * @see docs/decisions/0048
 */
import type { SqliteDatabase } from "../sqlite-database.ts";

const READ = "SELECT value FROM meta WHERE name = 'enrolment_floor'";
const RAISE = `
  INSERT INTO meta (name, value) VALUES ('enrolment_floor', ?)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE CAST(value AS INTEGER) < CAST(excluded.value AS INTEGER)`;

/** Unix seconds; tickets, grants and entries of this second and before are void. 0 without a restore. */
export function readEnrolmentFloor(database: SqliteDatabase): number {
  return Number(database.get(READ)?.text("value") ?? 0);
}

/** Raises the floor; never lowers it. @param seconds - Unix seconds. */
export function raiseEnrolmentFloor(database: SqliteDatabase, seconds: number): void {
  database.run(RAISE, String(Math.floor(seconds)));
}
