/** How much somebody read today, as one row of `meta` for each principal that ever read so; its day begins with the first line. */
import { Fields } from "@trustwarden/core/fields.ts";
import { formatCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";
import type { NewReading, ReadingReads, ReadingState } from "./reading-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

const DAY_SECONDS = 86_400;
const READ = "SELECT value FROM meta WHERE name = ?";
const WRITE = `
  INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`;

/** The reads of it. */
export function createReadingReads(database: SqliteDatabase): ReadingReads {
  return { readingOf: (principal, now) => readReading(database, principal, now) };
}

/** @see `ReadingCommands.countReading` */
export function countReading(
  database: SqliteDatabase,
  { principal, kind, lines, now }: NewReading,
): ReadingState {
  const before = readReading(database, principal, now);
  const after = { ...before, [kind]: before[kind] + lines };
  database.run(WRITE, nameOf(principal), formatCanonicalJson(after));
  return before;
}

function readReading(database: SqliteDatabase, principal: string, now: number): ReadingState {
  const found = database.get(READ, nameOf(principal));
  const anew = { since: now, everybody: 0, named: 0 };
  if (found === undefined) return anew;
  const known = parseReading(found.text("value"));
  return now >= known.since + DAY_SECONDS ? anew : known;
}

function nameOf(principal: string): string {
  return `read:${principal}`;
}

function parseReading(text: string): ReadingState {
  const fields = new Fields(parseJsonObject(text), "store_unavailable");
  const reading = {
    since: fields.integer("since"),
    everybody: fields.integer("everybody"),
    named: fields.integer("named"),
  };
  fields.end();
  return reading;
}
