/** The custom policy as a row; there is one at most, and its version never goes down. */
import type { StoredPolicy } from "./policy-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

const FIND = "SELECT * FROM custom_policy";

/** The custom policy that was loaded last. */
export function findPolicy(database: SqliteDatabase): StoredPolicy | undefined {
  const row = database.get(FIND);
  if (row === undefined) return undefined;
  return {
    name: row.text("name"),
    version: row.integer("version"),
    keyId: row.text("key_id"),
    bundle: row.bytes("bundle"),
    sha256: row.text("sha256"),
    loadedAt: row.integer("loaded_at"),
  };
}
