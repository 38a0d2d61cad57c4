/** The last restore, as one row of `meta`: a server that was never restored has none. */
import { Fields } from "@trustwarden/core/fields.ts";
import { formatCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";
import { RESTORE_OUTCOMES, type RestoreReads, type RestoreState } from "./restore-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

const READ = "SELECT value FROM meta WHERE name = 'restore'";
const WRITE = `
  INSERT INTO meta (name, value) VALUES ('restore', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`;

/** The reads of restores. */
export function createRestoreReads(database: SqliteDatabase): RestoreReads {
  return { restore: () => readRestore(database) };
}

/** @throws TrustWardenError `store_unavailable` for a row that no restore wrote: whether the server is held is not known then. */
export function readRestore(database: SqliteDatabase): RestoreState | undefined {
  const row = database.get(READ);
  return row === undefined ? undefined : parseRestore(row.text("value"));
}

export function writeRestore(database: SqliteDatabase, restore: RestoreState): void {
  const { id, restoredAt, outcome, backup, restoredBy, admins, isHeld, heldSince, isTold } = restore;
  const row = { id, restored_at: restoredAt, outcome, backup, restored_by: restoredBy };
  database.run(
    WRITE,
    formatCanonicalJson({ ...row, admins, held: isHeld, held_since: heldSince, told: isTold }),
  );
}

function parseRestore(text: string): RestoreState {
  const fields = new Fields(parseJsonObject(text), "store_unavailable");
  const restore = {
    id: fields.text("id"),
    restoredAt: fields.integer("restored_at"),
    outcome: fields.oneOf("outcome", RESTORE_OUTCOMES),
    backup: fields.textOrNull("backup"),
    restoredBy: fields.text("restored_by"),
    admins: fields.integer("admins"),
    isHeld: fields.boolean("held"),
    heldSince: fields.integer("held_since"),
    isTold: fields.boolean("told"),
  };
  fields.end();
  return restore;
}
