/** Numbers of the store that only rise, each under its name in `meta`. */
import type { SqliteDatabase } from "./sqlite-database.ts";

const READ = "SELECT value FROM meta WHERE name = ?";
const RAISE = `
  INSERT INTO meta (name, value) VALUES (?, ?)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE CAST(value AS INTEGER) < CAST(excluded.value AS INTEGER)`;

type FloorName = "clock_ms" | "enrolment_floor";

/** The floor; 0 before the first. */
export function readFloor(database: SqliteDatabase, name: FloorName): number {
  return Number(database.get(READ, name)?.text("value") ?? 0);
}

/** Raises the floor; never lowers it. @param value - its fraction is dropped. */
export function raiseFloor(database: SqliteDatabase, name: FloorName, value: number): void {
  database.run(RAISE, name, String(Math.floor(value)));
}
