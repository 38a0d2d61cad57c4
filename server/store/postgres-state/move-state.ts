/**
 * Moves a state store from a SQLite file to PostgreSQL: whole rows, in one transaction of the database.
 *
 * The file is fenced before that transaction is committed: its version becomes one that no server opens. Between the two
 * neither place has a store that works, and whoever runs the move again ends it; at no time do both have one (the same
 * order as decision 0041).
 */
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { MOVED_VERSION } from "../migrations/migrate-sqlite.ts";
import { latestVersion, MIGRATIONS } from "../migrations/steps.ts";
import { openForWriting } from "../schema.ts";
import { SqliteDatabase } from "../sqlite-database.ts";
import { encodeRow, type TableChanges } from "./changes.ts";
import { PostgresConnection } from "./connection.ts";
import { tablesOfStore } from "./mirror-file.ts";
import type { StateSettings } from "./protocol.ts";
import { explainMissingSchema, RemoteStore } from "./remote-store.ts";

/** Rows in one statement. */
const BATCH = 1000;
/** References are looked at once, at the end, which takes a while for millions of rows. */
const STATEMENT_TIMEOUT_MS = 600_000;
const FIND_ID = "SELECT value FROM meta WHERE name = 'move_id'";
const SET_ID = "INSERT INTO meta (name, value) VALUES ('move_id', ?) ON CONFLICT DO NOTHING";

/** What was moved. */
export interface MovedState {
  readonly rows: number;
  readonly tables: number;
}

/**
 * Moves the store of a data directory that no server uses.
 *
 * @param options.newId - a name that nothing else has.
 * @throws TrustWardenError `config_invalid` when the database has another state already, `data_locked`,
 *   `store_unavailable`: then the call is made again.
 */
export function moveState(options: {
  readonly dataDir: string;
  readonly settings: StateSettings;
  readonly newId: string;
}): MovedState {
  const { dataDir, newId } = options;
  const settings = { ...options.settings, statementTimeoutMs: STATEMENT_TIMEOUT_MS, goesOn: true };
  const source = openSource(dataDir, newId);
  const connection = new PostgresConnection(settings, () => undefined);
  try {
    connection.connect();
    const remote = new RemoteStore(connection, settings);
    const { version, source: moved } = remote.takeOver(
      `move ${source.id}`,
      settings,
      latestVersion(MIGRATIONS),
    );
    if (version > 0 && moved !== source.id) throw invalid("the database has a state already");
    const done = version > 0 ? countRows(source.database) : copyRows(source, { connection, remote });
    remote.letGo();
    return done;
  } catch (error) {
    throw explainMissingSchema(error);
  } finally {
    connection.close();
    source.database.close();
  }
}

/** The store at the latest version, with a name of its own; a fenced one as it is. */
function openSource(
  dataDir: string,
  newId: string,
): { readonly database: SqliteDatabase; readonly id: string } {
  const fenced = new SqliteDatabase(join(dataDir, "state.db"), {});
  const isFenced = (fenced.get("PRAGMA user_version")?.integer("user_version") ?? 0) > MOVED_VERSION;
  if (!isFenced) fenced.close();
  const database = isFenced ? fenced : openForWriting(dataDir);
  if (!isFenced) database.run(SET_ID, newId);
  const id = database.get(FIND_ID)?.text("value");
  if (id === undefined) throw invalid("the store does not say who moved it");
  return { database, id };
}

function copyRows(
  { database, id }: ReturnType<typeof openSource>,
  { connection, remote }: { readonly connection: PostgresConnection; readonly remote: RemoteStore },
): MovedState {
  connection.query("begin");
  let version = 0;
  const tables = tablesOfStore(database);
  let rows = 0;
  for (const table of tables) {
    for (const part of batchesOf(database, table)) {
      version += 1;
      rows += part.r.length;
      const group = { version, id: `${id} ${version}`, described: JSON.stringify([part]), changes: null };
      const rejection = remote.apply(group);
      if (rejection !== null)
        throw new TrustWardenError("store_unavailable", { store: "postgres", table, rejection });
    }
  }
  remote.nameSource(id);
  database.exec(`PRAGMA user_version = ${MOVED_VERSION + latestVersion(MIGRATIONS)}`);
  connection.query("commit");
  return { rows, tables: tables.length };
}

function* batchesOf(database: SqliteDatabase, table: string): Generator<TableChanges> {
  let batch: TableChanges["r"][number][] = [];
  for (const row of database.each(`SELECT * FROM "${table}"`)) {
    batch.push(encodeRow(row.values));
    if (batch.length < BATCH) continue;
    yield { t: table, o: "I", r: batch };
    batch = [];
  }
  if (batch.length > 0) yield { t: table, o: "I", r: batch };
}

function countRows(database: SqliteDatabase): MovedState {
  const tables = tablesOfStore(database);
  const counts = tables.map((name) => database.get(`SELECT COUNT(*) AS n FROM "${name}"`)?.integer("n") ?? 0);
  return { rows: counts.reduce((sum, count) => sum + count, 0), tables: tables.length };
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting: "state.postgres", reason });
}
