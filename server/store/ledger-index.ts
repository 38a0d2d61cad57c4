/**
 * The ledger index in one SQLite file: made from the log, rebuilt when it does not fit the log, never trusted.
 *
 * Writing and searching block for as long as they take, so it lives in a thread of its own (`ledger-index-thread.ts`);
 * everybody else asks it through `threaded-ledger-index.ts`. `index/` has its parts: rows of events, names as numbers,
 * for each property the events that have it, and the search.
 *
 * @see docs/decisions/0040
 */
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type {
  EventFilter,
  EventPage,
  EventPageRequest,
  IntentName,
} from "@trustwarden/core/agentledger/query-index.ts";
import { parseRecord, type UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { CHANGED_BLOCKS_SCHEMA, ChangedBlocks } from "./index/changed-blocks.ts";
import { EVENT_ROWS_SCHEMA, EventRows } from "./index/event-rows.ts";
import { BLOCK_EVENTS } from "./index/members.ts";
import { POSTINGS_SCHEMA, Postings } from "./index/postings.ts";
import { type IndexTables, type RequireTime, searchEvents } from "./index/search.ts";
import { Texts } from "./index/texts.ts";
import { TIME_ZONES_SCHEMA, TimeZones, ZONE_EVENTS } from "./index/time-zones.ts";
import { writeBatch } from "./index/write-batch.ts";

/** Another number makes old files be rebuilt. */
const SCHEMA_VERSION = 4;
/** A search that takes longer is refused: those behind it wait. */
const SEARCH_MS = 3000;

/** Pages hold a set of a block whole; the memory is for the branches of the trees. */
const PRAGMAS = `
  PRAGMA page_size = 8192; PRAGMA cache_size = -65536; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
`;
const READER_PRAGMAS = "PRAGMA cache_size = -65536;";
const TABLES = ["events", "texts", "postings", "zones", "progress", "changed_blocks"];
/** Of the version before this one, besides. */
const OLD_TABLES = ["links", "records", "intents"];
const SCHEMA = `
  ${EVENT_ROWS_SCHEMA} ${POSTINGS_SCHEMA} ${TIME_ZONES_SCHEMA} ${CHANGED_BLOCKS_SCHEMA}
  CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE progress (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, last_sha256 TEXT NOT NULL) STRICT;
  INSERT INTO progress VALUES (0, 0, '');
`;

/** What is not in the file. */
export interface IndexSettings {
  /** Milliseconds of a clock that never goes back. */
  readonly monoMs: () => number;
  /** Whether somebody else writes the file: what is remembered of it is forgotten when it has changed. */
  readonly isReader?: boolean;
}

/**
 * Opens the index file, or begins a new one when it is missing, damaged or of another version.
 *
 * @param path - of the file, or `:memory:`.
 */
export function createLedgerIndex(path: string, settings: IndexSettings): LedgerIndex {
  try {
    return new LedgerIndex(openDatabase(path), settings);
  } catch (error) {
    if (path === ":memory:" || !(error instanceof Error)) throw error;
    // Whatever is wrong with the file, everything in it is in the log too; a second failure is thrown.
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
    return new LedgerIndex(openDatabase(path), settings);
  }
}

/** Opens an index that another thread writes; nothing can be added through it. */
export function openIndexForReading(path: string, settings: IndexSettings): LedgerIndex {
  const database = new DatabaseSync(path, { readOnly: true });
  database.exec(READER_PRAGMAS);
  return new LedgerIndex(database, { ...settings, isReader: true });
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    database.exec(PRAGMAS);
    const { user_version: version } = database.prepare("PRAGMA user_version").get() ?? {};
    if (version !== SCHEMA_VERSION) beginAnew(database);
    database.exec(CHANGED_BLOCKS_SCHEMA);
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
  readonly #monoMs: () => number;
  readonly #isReader: boolean;
  #tables: IndexTables;
  #progress: IndexProgress;
  /** Of a reader's tables: SQLite's number for what others have written. */
  #version = 0;

  constructor(database: DatabaseSync, { monoMs, isReader = false }: IndexSettings) {
    this.#database = database;
    this.#monoMs = monoMs;
    this.#isReader = isReader;
    // First: what is written between the two is read again by the first question.
    this.#progress = readProgress(database);
    this.#tables = openTables(database);
  }

  get progress(): IndexProgress {
    return this.#progress;
  }

  /** Forgets everything. */
  beginAnew(): void {
    beginAnew(this.#database);
    this.#tables = openTables(this.#database);
    this.#progress = readProgress(this.#database);
  }

  /** Writes the entries that come next, all or none. */
  add(entries: readonly Uint8Array[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.addRecords(entries.map(readable), digestOf(last));
  }

  /**
   * As `add`, of entries that are parsed.
   *
   * @param records - null for an entry that is none.
   * @param lastSha256 - base64url SHA-256 of the last entry.
   */
  addRecords(records: readonly (UnverifiedRecord | null)[], lastSha256: string): void {
    const { size } = this.#progress;
    const progress = { size: size + records.length, lastSha256 };
    this.#database.exec("BEGIN");
    try {
      writeBatch(this.#tables, { from: size, records });
      this.#database
        .prepare("UPDATE progress SET size = ?, last_sha256 = ? WHERE id = 0")
        .run(progress.size, lastSha256);
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      this.#tables = openTables(this.#database);
      throw error;
    }
    this.#progress = progress;
  }

  /** As `QueryIndex` says. */
  query(filter: EventFilter, page: EventPageRequest): EventPage {
    if (!this.#isReader) return this.#search(filter, page);
    // One state of the file for all of a question, and no set of before it.
    this.#database.exec("BEGIN");
    try {
      this.#refresh();
      return this.#search(filter, page);
    } finally {
      this.#database.exec("COMMIT");
    }
  }

  #search(filter: EventFilter, page: EventPageRequest): EventPage {
    return searchEvents(this.#tables, filter, { ...page, requireTime: this.#startTimer() });
  }

  /** Log index of the first outcome of an intent. */
  findOutcome({ eventId, intentSha256 }: IntentName): number | null {
    const digest = parseBase64url(intentSha256);
    return this.#tables.rows.find({ eventId, digest })?.outcomeAt ?? null;
  }

  close(): void {
    this.#database.close();
  }

  #refresh(): void {
    const { size } = this.#progress;
    // Reading anything takes the state that the version is then asked of.
    this.#progress = readProgress(this.#database);
    const { data_version: version } = this.#database.prepare("PRAGMA data_version").get() ?? {};
    if (version === this.#version) return;
    this.#version = Number(version);
    if (this.#progress.size < size) this.#tables = openTables(this.#database);
    else this.#forgetSince(size);
  }

  /** All that was written since lies in the blocks that say so; names keep their numbers. */
  #forgetSince(size: number): void {
    const { changed, postings, zones } = this.#tables;
    const blocks = changed.since(size);
    postings.forget(blocks);
    const zonesOfBlock = BLOCK_EVENTS / ZONE_EVENTS;
    for (const block of blocks) zones.readAgain(block * zonesOfBlock, (block + 1) * zonesOfBlock);
  }

  #startTimer(): RequireTime {
    const end = this.#monoMs() + SEARCH_MS;
    return () => {
      if (this.#monoMs() > end) throw new TrustWardenError("ledger_search_late", { afterMs: SEARCH_MS });
    };
  }
}

function openTables(database: DatabaseSync): IndexTables {
  const texts = new Texts(database);
  return {
    texts,
    changed: new ChangedBlocks(database),
    rows: new EventRows(database, texts),
    postings: new Postings(database),
    zones: new TimeZones(database),
  };
}

function beginAnew(database: DatabaseSync): void {
  for (const table of [...TABLES, ...OLD_TABLES]) database.exec(`DROP TABLE IF EXISTS ${table}`);
  database.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION};`);
}

function readProgress(database: DatabaseSync): IndexProgress {
  const row = database.prepare("SELECT size, last_sha256 FROM progress WHERE id = 0").get();
  return { size: Number(row?.size ?? 0), lastSha256: String(row?.last_sha256 ?? "") };
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
