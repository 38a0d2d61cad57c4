/**
 * What a mirror knows of itself, in the same SQLite file: whose copy it is, how many groups it has seen, and the groups that
 * PostgreSQL has not had yet.
 *
 * Every change is made in the transaction of the rows that it tells of.
 */
import type { SqliteDatabase } from "../sqlite-database.ts";

const TABLES = `
  CREATE TABLE IF NOT EXISTS mirror (
    only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    holder TEXT NOT NULL,
    store_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    group_id TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS mirror_unsent (
    version INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    changes BLOB NOT NULL,
    described TEXT NOT NULL,
    requests BLOB NOT NULL
  ) STRICT;
`;
const TABLE_NAMES = `
  SELECT name FROM sqlite_schema
  WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT IN ('mirror', 'mirror_unsent') ORDER BY name`;
const HAS_COPIED = "SELECT 1 FROM pragma_table_info('mirror') WHERE name = 'copied_version'";
const ADD_COPIED = "ALTER TABLE mirror ADD COLUMN copied_version INTEGER";
const IS_COPIED =
  "SELECT 1 FROM mirror WHERE store_id = '' OR copied_version = (SELECT user_version FROM pragma_user_version)";
const SET_COPIED = "UPDATE mirror SET copied_version = (SELECT user_version FROM pragma_user_version)";
const READ = "SELECT holder, store_id, version, group_id FROM mirror";
const CREATE =
  "INSERT INTO mirror (only_one, holder, store_id, version, group_id) VALUES (1, ?, '', 0, '') ON CONFLICT DO NOTHING";
const SET = "UPDATE mirror SET store_id = ?, version = ?, group_id = ?";
const ADD_UNSENT =
  "INSERT INTO mirror_unsent (version, id, changes, described, requests) VALUES (?, ?, ?, ?, ?)";
const LIST_UNSENT = "SELECT * FROM mirror_unsent ORDER BY version";
const REMOVE_UNSENT = "DELETE FROM mirror_unsent WHERE version <= ?";

/** A group that was committed here and nowhere else. */
export interface UnsentGroup {
  readonly version: number;
  readonly id: string;
  /** As SQLite recorded it. */
  readonly changes: Uint8Array;
  /** As PostgreSQL applies it: JSON. */
  readonly described: string;
  /** The commands, to be run again where the changes do not fit any more. */
  readonly requests: Uint8Array;
}

export interface MirrorState {
  /** This server, as the database knows its writer; kept with the copy. */
  readonly holder: string;
  /** Of the store that was copied; empty before the first copy. */
  readonly storeId: string;
  /** Groups that this copy has seen, those that were not sent among them. */
  readonly version: number;
  /** The latest of these groups that the database has had; empty where it is not known. */
  readonly groupId: string;
}

/** Makes what a mirror has beside the store's tables. @param newHolder - used at the first time. */
export function prepareMirror(database: SqliteDatabase, newHolder: string): void {
  database.exec(TABLES);
  if (database.get(HAS_COPIED) === undefined) database.exec(ADD_COPIED);
  database.run(CREATE, newHolder);
}

/** Whether the copy was made by a server of this version, or there is none yet. */
export function isCopiedAsKnown(database: SqliteDatabase): boolean {
  return database.get(IS_COPIED) !== undefined;
}

/** The copy is whole, as this version knows the tables. */
export function setCopied(database: SqliteDatabase): void {
  database.run(SET_COPIED);
}

export function readMirror(database: SqliteDatabase): MirrorState {
  const row = database.get(READ);
  if (row === undefined) throw new Error("a mirror knows itself");
  return {
    holder: row.text("holder"),
    storeId: row.text("store_id"),
    version: row.integer("version"),
    groupId: row.text("group_id"),
  };
}

export function setMirror(
  database: SqliteDatabase,
  { storeId, version, groupId }: Omit<MirrorState, "holder">,
): void {
  database.run(SET, storeId, version, groupId);
}

export function addUnsent(database: SqliteDatabase, group: UnsentGroup): void {
  database.run(ADD_UNSENT, group.version, group.id, group.changes, group.described, group.requests);
}

/** In order. */
export function listUnsent(database: SqliteDatabase): readonly UnsentGroup[] {
  return database.all(LIST_UNSENT).map((row) => ({
    version: row.integer("version"),
    id: row.text("id"),
    changes: row.bytes("changes"),
    described: row.text("described"),
    requests: row.bytes("requests"),
  }));
}

/** Forgets the groups up to a version: they are in the database, or are run again. */
export function removeUnsent(database: SqliteDatabase, upTo: number): void {
  database.run(REMOVE_UNSENT, upTo);
}

/** The store's own tables. */
export function tablesOfStore(database: SqliteDatabase): readonly string[] {
  return database.all(TABLE_NAMES).map((row) => row.text("name"));
}
