/**
 * The ledger index in one SQLite file: made from the log, rebuilt when it does not fit the log, never trusted.
 *
 * Writing and searching block for as long as they take, so it lives in a thread of its own (`ledger-index-thread.ts`);
 * everybody else asks it through `threaded-ledger-index.ts`.
 */
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import {
  formatEventGroup,
  type JoinedEvent,
  joinRecord,
  linksOf,
  subtreesOf,
} from "@trustwarden/core/agentledger/join.ts";
import type {
  EventFilter,
  EventPage,
  EventPageRequest,
  IndexedRecord,
} from "@trustwarden/core/agentledger/query-index.ts";
import {
  credentialOf,
  formatRecordKey,
  intentDigestOf,
  parseRecord,
  type UnverifiedRecord,
} from "@trustwarden/core/agentledger/record.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { eventOfRow, selectEvents } from "./ledger-index-query.ts";

/** Another number makes old files be rebuilt. */
const SCHEMA_VERSION = 3;

const SCHEMA = `
  CREATE TABLE events (
    id INTEGER PRIMARY KEY, grouping TEXT NOT NULL UNIQUE, event_id TEXT NOT NULL, kind TEXT NOT NULL, action TEXT,
    resource TEXT, owner TEXT, time_ms INTEGER NOT NULL, outcome TEXT NOT NULL, view TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_event_id ON events (event_id);
  CREATE INDEX events_owner ON events (owner, id);
  CREATE INDEX events_action ON events (action, id);
  CREATE INDEX events_resource ON events (resource, id);
  CREATE INDEX events_kind ON events (kind, id);
  CREATE INDEX events_outcome ON events (outcome, id);
  CREATE INDEX events_time ON events (time_ms);
  CREATE TABLE links (
    role TEXT NOT NULL, name TEXT NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (role, name, event)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE records (key TEXT PRIMARY KEY, position INTEGER NOT NULL, payload_sha256 TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE intents (entry_sha256 TEXT PRIMARY KEY, svid_sha256 TEXT NOT NULL, outcome INTEGER, outcome_payload TEXT) STRICT, WITHOUT ROWID;
  CREATE TABLE progress (size INTEGER NOT NULL, last_sha256 TEXT NOT NULL) STRICT;
`;

interface Statements {
  readonly findEvent: StatementSync;
  readonly insertEvent: StatementSync;
  readonly updateEvent: StatementSync;
  readonly insertLink: StatementSync;
  readonly insertRecord: StatementSync;
  readonly findRecord: StatementSync;
  readonly insertIntent: StatementSync;
  readonly findIntent: StatementSync;
  readonly setOutcome: StatementSync;
  readonly setProgress: StatementSync;
}

/**
 * Opens the index file, or begins a new one when it is missing, damaged or of another version.
 *
 * @param path - of the file, or `:memory:`.
 */
export function createLedgerIndex(path: string): LedgerIndex {
  try {
    return new LedgerIndex(openDatabase(path));
  } catch (error) {
    if (path === ":memory:" || !(error instanceof Error)) throw error;
    // Whatever is wrong with the file, everything in it is in the log too; a second failure is thrown.
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
    return new LedgerIndex(openDatabase(path));
  }
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    const { user_version: version } = database.prepare("PRAGMA user_version").get() ?? {};
    if (version !== SCHEMA_VERSION) beginAnew(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** How far a file has come, and the entry that it came to. */
export interface IndexProgress {
  /** Entries written, from the first on. */
  readonly size: number;
  /** base64url SHA-256 of the last of them; empty at size 0. */
  readonly lastSha256: string;
}

/** Owns the database. Every call is finished when it returns, and may take as long as a disk does. */
export class LedgerIndex {
  readonly #database: DatabaseSync;
  #statements: Statements;
  #progress: IndexProgress;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = prepare(database);
    this.#progress = readProgress(database);
  }

  get progress(): IndexProgress {
    return this.#progress;
  }

  /** Forgets everything. */
  beginAnew(): void {
    beginAnew(this.#database);
    this.#statements = prepare(this.#database);
    this.#progress = readProgress(this.#database);
  }

  /** Writes the entries that come next, all or none. */
  add(entries: readonly Uint8Array[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    const { size } = this.#progress;
    const progress = { size: size + entries.length, lastSha256: digestOf(last) };
    this.#database.exec("BEGIN");
    try {
      for (const [offset, entry] of entries.entries()) this.#write(size + offset, entry);
      this.#statements.setProgress.run(progress.size, progress.lastSha256);
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
    this.#progress = progress;
  }

  /** As `QueryIndex` says. */
  query(filter: EventFilter, page: EventPageRequest): EventPage {
    return selectEvents(this.#database, filter, page);
  }

  /** As `QueryIndex` says. */
  findRecord(key: string): IndexedRecord | undefined {
    const row = this.#statements.findRecord.get(key);
    return row === undefined
      ? undefined
      : { index: Number(row.position), payloadSha256: String(row.payload_sha256) };
  }

  /** As `QueryIndex` says. */
  findOutcome(intentSha256: string): IndexedRecord | undefined {
    const { outcome = null, outcome_payload: payload } = this.#statements.findIntent.get(intentSha256) ?? {};
    return outcome === null ? undefined : { index: Number(outcome), payloadSha256: String(payload) };
  }

  close(): void {
    this.#database.close();
  }

  #write(index: number, entry: Uint8Array): void {
    const record = readable(entry);
    if (record === null) return;
    this.#writeRecord(index, record);
    const grouping = formatEventGroup(record);
    const row = this.#statements.findEvent.get(grouping);
    const event = joinRecord(row === undefined ? null : eventOfRow(row), record, index);
    const id = row === undefined ? index : Number(row.id);
    const columns = columnsOf(event);
    if (row === undefined) this.#statements.insertEvent.run({ id, grouping, ...columns });
    else this.#statements.updateEvent.run({ id, ...columns });
    for (const name of linksOf(record)) this.#statements.insertLink.run("about", name, id);
    for (const name of subtreesOf(record)) this.#statements.insertLink.run("within", name, id);
  }

  #writeRecord(index: number, record: UnverifiedRecord): void {
    const { unverified, entrySha256, payloadSha256 } = record;
    const { findIntent, insertIntent, insertRecord, setOutcome } = this.#statements;
    const credential = credentialOf(unverified);
    if (credential !== null) insertIntent.run(entrySha256, credential);
    const intentSha256 = credential === null ? intentDigestOf(record) : null;
    const intent = intentSha256 === null ? undefined : findIntent.get(intentSha256);
    const svid = intent === undefined ? null : String(intent.svid_sha256);
    insertRecord.run(formatRecordKey(record, svid), index, payloadSha256);
    if (unverified.kind === "outcome") setOutcome.run(index, payloadSha256, unverified.value.intent_sha256);
  }
}

function prepare(database: DatabaseSync): Statements {
  const columns =
    "event_id = $event_id, kind = $kind, action = $action, resource = $resource, owner = $owner";
  return {
    findEvent: database.prepare("SELECT id, view FROM events WHERE grouping = ?"),
    insertEvent: database.prepare(
      `INSERT INTO events (id, grouping, event_id, kind, action, resource, owner, time_ms, outcome, view)
       VALUES ($id, $grouping, $event_id, $kind, $action, $resource, $owner, $time_ms, $outcome, $view)`,
    ),
    updateEvent: database.prepare(
      `UPDATE events SET ${columns}, time_ms = $time_ms, outcome = $outcome, view = $view WHERE id = $id`,
    ),
    insertLink: database.prepare("INSERT OR IGNORE INTO links (role, name, event) VALUES (?, ?, ?)"),
    // The first record under a key is the one that counts.
    insertRecord: database.prepare(
      "INSERT OR IGNORE INTO records (key, position, payload_sha256) VALUES (?, ?, ?)",
    ),
    findRecord: database.prepare("SELECT position, payload_sha256 FROM records WHERE key = ?"),
    insertIntent: database.prepare("INSERT OR IGNORE INTO intents (entry_sha256, svid_sha256) VALUES (?, ?)"),
    findIntent: database.prepare(
      "SELECT svid_sha256, outcome, outcome_payload FROM intents WHERE entry_sha256 = ?",
    ),
    setOutcome: database.prepare(
      "UPDATE intents SET outcome = ?, outcome_payload = ? WHERE entry_sha256 = ? AND outcome IS NULL",
    ),
    setProgress: database.prepare("UPDATE progress SET size = ?, last_sha256 = ?"),
  };
}

function beginAnew(database: DatabaseSync): void {
  for (const table of ["events", "links", "records", "intents", "progress"])
    database.exec(`DROP TABLE IF EXISTS ${table}`);
  database.exec(`${SCHEMA} INSERT INTO progress VALUES (0, ''); PRAGMA user_version = ${SCHEMA_VERSION};`);
}

function readProgress(database: DatabaseSync): IndexProgress {
  const row = database.prepare("SELECT size, last_sha256 FROM progress").get();
  return { size: Number(row?.size ?? 0), lastSha256: String(row?.last_sha256 ?? "") };
}

function columnsOf(event: JoinedEvent): Record<string, SQLInputValue> {
  const { event_id, kind, action, resource, owner_id: owner, outcome } = event;
  return {
    event_id,
    kind,
    action,
    resource,
    owner,
    time_ms: Date.parse(event.timestamp),
    outcome,
    view: JSON.stringify(event),
  };
}

/** An entry that is no record cannot be found; it stays in the log, where an audit reports it. */
function readable(entry: Uint8Array): UnverifiedRecord | null {
  try {
    return parseRecord(entry);
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return null;
  }
}

/** base64url SHA-256 of an entry. */
export function digestOf(entry: Uint8Array): string {
  return createHash("sha256").update(entry).digest("base64url");
}
