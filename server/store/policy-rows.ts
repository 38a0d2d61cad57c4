/** The custom policy as a row; there is one at most, and its version never goes down. */
import type { StoredPolicy } from "./policy-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

export const POLICY_TABLES = `
  CREATE TABLE custom_policy (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    name TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    key_id TEXT NOT NULL,
    bundle BLOB NOT NULL,
    sha256 TEXT NOT NULL,
    loaded_at INTEGER NOT NULL
  ) STRICT;
`;

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
