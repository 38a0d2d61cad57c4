/**
 * How the file of the embedded state store is opened, made and brought to the present version.
 *
 * Every table is STRICT, so a value of the wrong type is refused by SQLite too. Nothing here is a secret that opens: private
 * keys are in sealed files, upstream secrets are sealed under keys from elsewhere, tokens are never stored, tickets
 * appear only once they are used up.
 *
 * @see docs/storage.md; migrations/steps.ts has the tables
 */
import { chmodSync, closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { migrateSqlite } from "./migrations/migrate-sqlite.ts";
import { MIGRATIONS } from "./migrations/steps.ts";
import { SqliteDatabase } from "./sqlite-database.ts";

/** The store itself, or the copy of one that is in PostgreSQL. */
export type StateFile = "state.db" | "state-mirror.db";

/** Longer than any transaction of ours; another process at the file is a mistake that must not hang us. */
const BUSY_TIMEOUT_MS = 2000;

const PRAGMAS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA trusted_schema = OFF;
  PRAGMA journal_size_limit = 67108864;
  PRAGMA wal_autocheckpoint = 8000;
`;

/** The writer's connection; makes the file (0600) and its tables when there are none. */
export function openForWriting(dataDir: string, file: StateFile = "state.db"): SqliteDatabase {
  const path = join(dataDir, file);
  createPrivateFile(path);
  return prepare(new SqliteDatabase(path, { timeout: BUSY_TIMEOUT_MS }));
}

/** A store in memory, with the same tables; for the tests of commands. */
export function openInMemory(): SqliteDatabase {
  return prepare(new SqliteDatabase(":memory:", {}));
}

/** A connection that cannot write; the writer must have opened the file before. */
export function openForReading(dataDir: string, file: StateFile = "state.db"): SqliteDatabase {
  return new SqliteDatabase(join(dataDir, file), { readOnly: true, timeout: BUSY_TIMEOUT_MS });
}

/** SQLite gives the write-ahead log the mode of the database, so one mode is enough. */
function createPrivateFile(path: string): void {
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
}

function prepare(database: SqliteDatabase): SqliteDatabase {
  database.exec(PRAGMAS);
  migrateSqlite(database, MIGRATIONS);
  return database;
}
