/**
 * Makes a large made-up index out of a small one: its blocks once more and again, further on in the log and later in time.
 *
 * Sets of a property are kept by block, with places that count from the block's beginning, so that a repeated block is what the index would
 * write for the same events at a later place. Writing each event anew takes ten times as long (an hour on a busy machine). What it does not have is new names in later parts: jobs
 * come again in each of them.
 */
import { DatabaseSync } from "node:sqlite";
import { encodeEventId, STEP_MS } from "../../server/store/index/history.test.support.ts";
import { BLOCK_EVENTS } from "../../server/store/index/members.ts";
import { BLOCK_KEYS } from "../../server/store/index/postings.ts";
import { ZONE_EVENTS } from "../../server/store/index/time-zones.ts";

/** Blocks that are written event by event. */
const PART_BLOCKS = 4;
/** Events of a part. */
export const PART_EVENTS = PART_BLOCKS * BLOCK_EVENTS;

/** How many parts so many events are; one that is written whole where they are few. */
export function partsOf(events: number): number {
  return events <= 2 * PART_EVENTS ? 1 : Math.ceil(events / PART_EVENTS);
}

/** Repeats an index of exactly one part, until it has so many. Nothing is durable before the end. */
export function repeatPart(path: string, parts: number): void {
  const database = new DatabaseSync(path);
  database.function("event_id_of", (id) => encodeEventId(Number(id)));
  database.function("moved", (indexes, by) =>
    String(indexes)
      .split(",")
      .map((index) => Number(index) + Number(by))
      .join(","),
  );
  // A crash leaves a file that is made anew.
  database.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;");
  const entries = Number(database.prepare("SELECT size FROM progress").get()?.size);
  for (let part = 1; part < parts; part += 1) {
    copyRows(database, { part, entries });
    process.stderr.write(`\r${(part + 1) * PART_EVENTS} events`);
  }
  database.exec(`UPDATE progress SET size = ${parts * entries}; PRAGMA journal_mode = DELETE;`);
  database.close();
}

function copyRows(
  database: DatabaseSync,
  { part, entries }: { readonly part: number; readonly entries: number },
): void {
  const [events, blocks, ms] = [part * PART_EVENTS, part * PART_BLOCKS, part * PART_EVENTS * STEP_MS];
  const further = part * entries;
  const columns = database
    .prepare("SELECT name FROM pragma_table_info('events')")
    .all()
    .map(({ name }) => String(name));
  const changed: Readonly<Record<string, string>> = {
    id: `id + ${events}`,
    event_id: `event_id_of(id + ${events})`,
    time_ms: `time_ms + ${ms}`,
    indexes: `moved(indexes, ${further})`,
    outcome_at: `outcome_at + ${further}`,
  };
  const values = columns.map((column) => changed[column] ?? column);
  database.exec(`
    BEGIN;
    INSERT INTO events (${columns.join(", ")}) SELECT ${values.join(", ")} FROM events
      WHERE id < ${PART_EVENTS} ORDER BY id;
    INSERT INTO postings SELECT key + ${blocks * BLOCK_KEYS}, members FROM postings
      WHERE key < ${PART_BLOCKS * BLOCK_KEYS} ORDER BY key;
    INSERT INTO zones SELECT id + ${events / ZONE_EVENTS}, first_ms + ${ms}, last_ms + ${ms} FROM zones
      WHERE id < ${PART_EVENTS / ZONE_EVENTS} ORDER BY id;
    INSERT INTO changed_blocks SELECT block + ${blocks}, size + ${further} FROM changed_blocks
      WHERE block < ${PART_BLOCKS};
    COMMIT;`);
}
