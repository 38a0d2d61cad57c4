/**
 * The floor under enrolments that a restore leaves: whatever was signed before it may have been used after the backup was made, and
 * the tables that would say so are the backup's.
 *
 * @see docs/decisions/0048
 */
import { raiseFloor, readFloor } from "../meta-floor.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";

/** Unix seconds; tickets, grants and entries of this second and before are void. 0 without a restore. */
export function readEnrolmentFloor(database: SqliteDatabase): number {
  return readFloor(database, "enrolment_floor");
}

/** Raises the floor; never lowers it. @param seconds - Unix seconds. */
export function raiseEnrolmentFloor(database: SqliteDatabase, seconds: number): void {
  raiseFloor(database, "enrolment_floor", seconds);
}
