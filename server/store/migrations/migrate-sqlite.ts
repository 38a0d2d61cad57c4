/**
 * Makes the tables of a SQLite store, or brings an older store to the present version: all steps in one transaction, so
 * that a store is of one version or of the other, whenever the machine stops.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { latestVersion, type MigrationStep, type Migrations } from "./steps.ts";

/** Added to the version of a store that was moved to PostgreSQL, so that no server opens it any more. */
export const MOVED_VERSION = 1_000_000;
const READ_TABLE = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?";
const READ_INDEXES =
  "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL";
const COLUMN_CHECK = /CHECK \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)/;

/**
 * Leaves the store at the latest version, or as it was.
 *
 * @throws TrustWardenError `config_invalid` for a store that is newer than this server, or too old for it.
 */
export function migrateSqlite(database: SqliteDatabase, migrations: Migrations): void {
  if (versionOf(database) === latestVersion(migrations)) return;
  // A table is made anew under rows that refer to it; the references are checked as a whole before the commit.
  database.exec("PRAGMA foreign_keys = OFF");
  try {
    database.exec("BEGIN IMMEDIATE");
    bringUp(database, migrations);
    database.exec("COMMIT");
  } catch (error) {
    if (database.isInTransaction()) database.exec("ROLLBACK");
    throw error;
  } finally {
    database.exec("PRAGMA foreign_keys = ON");
  }
}

function bringUp(database: SqliteDatabase, { base, steps }: Migrations): void {
  const latest = latestVersion({ base, steps });
  const found = versionOf(database);
  if (found === 0) database.exec(base.sql);
  const version = found === 0 ? base.version : found;
  if (version > MOVED_VERSION)
    throw refused(version, "the state was moved to PostgreSQL: name it in `state` of the configuration");
  if (version > latest)
    throw refused(version, `the state store is newer than this server, which knows version ${latest}`);
  if (version < base.version)
    throw refused(version, `the state store is too old; this server begins at version ${base.version}`);
  const due = steps.filter((step) => step.version > version);
  for (const step of due) apply(database, step);
  // Only where rows were moved or removed can a reference have lost its row; reading all of a million agents takes 40 s.
  const isAtRisk = due.some(({ phase, widens }) => phase === "contract" || widens.length > 0);
  if (isAtRisk && database.get("PRAGMA foreign_key_check") !== undefined)
    throw new Error("a migration left a row that refers to nothing");
  database.exec(`PRAGMA user_version = ${latest}`);
}

function apply(database: SqliteDatabase, { sql, widens }: MigrationStep): void {
  database.exec(sql);
  for (const widened of widens) widen(database, widened);
}

/** SQLite has no way to change a check: the table is made anew beside itself. @see sqlite.org, "ALTER TABLE" §7 */
function widen(database: SqliteDatabase, { table, column, check }: MigrationStep["widens"][number]): void {
  const sql = database.get(READ_TABLE, table)?.text("sql") ?? "";
  const indexes = database.all(READ_INDEXES, table).map((row) => row.text("sql"));
  const lines = sql.split(new RegExp(`(?=\\b${column} (?:TEXT|INTEGER)\\b)`));
  const [before = "", definition = ""] = lines;
  const widened = definition.replace(COLUMN_CHECK, check);
  if (lines.length !== 2 || widened === definition)
    throw new Error(`${table}.${column} has no check to widen`);
  const made = (before + widened).replace(/^CREATE TABLE \S+/, `CREATE TABLE ${table}_widened`);
  database.exec(`${made};
    INSERT INTO ${table}_widened SELECT * FROM ${table};
    DROP TABLE ${table};
    ALTER TABLE ${table}_widened RENAME TO ${table};
    ${indexes.map((index) => `${index};`).join("\n")}`);
}

function versionOf(database: SqliteDatabase): number {
  return database.get("PRAGMA user_version")?.integer("user_version") ?? 0;
}

function refused(version: number, reason: string): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting: "dataDir", reason, version });
}
