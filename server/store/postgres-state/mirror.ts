/**
 * A copy of the state store that is in PostgreSQL, in a SQLite file beside the reader: commands run on the copy, and what
 * they changed is in the database before the copy keeps it and anybody is answered.
 *
 * Between groups the copy is what the database was after some group, plus the groups that were not sent. Only while the
 * database is away, and only for what must not wait for it, is a group kept here alone; it is sent before anything else
 * is. Whatever does not fit (a gap in the numbers, a row that is not there) makes the copy anew. A server that finds
 * another in its place does not go on.
 *
 * @see docs/decisions/0045
 */
import { serialize } from "node:v8";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { GroupNotKept, type Rejection, type Replica } from "../replica.ts";
import type { ChangeRecorder, SqliteDatabase, SqlValue } from "../sqlite-database.ts";
import { columnsOf, describeChanges, tablesOfChanges } from "./changes.ts";
import { findEarlyUse } from "./early-use.ts";
import { fitChanges } from "./fitted-changes.ts";
import {
  addUnsent,
  isCopiedAsKnown,
  listUnsent,
  readMirror,
  removeUnsent,
  setCopied,
  setMirror,
  tablesOfStore,
  type UnsentGroup,
} from "./mirror-file.ts";
import type { PostgresRow } from "./protocol.ts";
import type { RemoteStore, StorePlace } from "./remote-store.ts";

/** In the file's cache of pages, the copy need not be durable: what it forgets the database has. */
const KEPT_ELSEWHERE = "PRAGMA synchronous = NORMAL";
const KEPT_HERE = "PRAGMA synchronous = FULL";

/**
 * How copy and database stand: `linked` while the database takes groups, `away` while groups are kept here alone, `doubt`
 * when it may have a group that was rolled back here, `apart` when its rows are not those of the copy, although no number
 * says so.
 */
type Standing = "linked" | "away" | "doubt" | "apart";

/** What a group that was not kept makes of it. */
const STANDINGS: Readonly<Record<Rejection, Standing>> = {
  unfit: "linked",
  early: "linked",
  behind: "linked",
  lost: "away",
  fenced: "away",
  doubt: "doubt",
  moved: "apart",
};

/** Owns how copy and database stand; its place is in the file, and file and connection are its opener's. */
export class Mirror implements Replica {
  readonly #database: SqliteDatabase;
  readonly #remote: RemoteStore;
  readonly #newId: () => string;
  readonly #isShared: boolean;
  readonly #waiting: ReadonlySet<string>;
  readonly #onKept: () => void;
  #recorder: ChangeRecorder | null = null;
  /** Tables in which others changed something since somebody asked; null for any. */
  #followed: Set<string> | null = new Set();
  #standing: Standing = "linked";

  constructor(options: {
    readonly database: SqliteDatabase;
    readonly remote: RemoteStore;
    readonly newId: () => string;
    /** Whether others write too. */
    readonly isShared: boolean;
    /** What nobody uses before the store is settled. */
    readonly waiting: ReadonlySet<string>;
    /** The database has a group of this server, and others may read it. */
    readonly onKept?: () => void;
  }) {
    this.#database = options.database;
    this.#remote = options.remote;
    this.#newId = options.newId;
    this.#isShared = options.isShared;
    this.#waiting = options.waiting;
    this.#onKept = options.onKept ?? (() => undefined);
    // A server of the version before left out what it does not know, and no number says so.
    if (!isCopiedAsKnown(this.#database)) this.#standing = "apart";
  }

  /** Whether the database takes groups. */
  get isLinked(): boolean {
    return this.#standing === "linked";
  }

  /** Whether the database may have a group that was rolled back here. */
  get isInDoubt(): boolean {
    return this.#standing === "doubt";
  }

  /** Whether the database has groups that the copy has not. */
  isBehind({ version, storeId }: StorePlace): boolean {
    const own = readMirror(this.#database);
    return own.version !== version || own.storeId !== storeId;
  }

  /** The tables in which others changed something since this was asked last; null where it may be any. */
  takeFollowed(): readonly string[] | null {
    const followed = this.#followed;
    this.#followed = new Set();
    return followed === null ? null : [...followed];
  }

  /** The database is away: from now on groups are kept here alone. */
  unlink(): void {
    if (this.isLinked) this.#standing = "away";
  }

  /** Before a group's transaction begins. */
  begin(): void {
    this.#database.exec(this.isLinked ? KEPT_ELSEWHERE : KEPT_HERE);
    this.#recorder = this.#database.recordChanges();
  }

  /**
   * At the end of a group's transaction, which is committed here next. When this returns the group is in the database, or
   * is kept to be sent.
   *
   * @throws GroupNotKept when it is not, and the transaction has to be rolled back.
   */
  keep(requests: readonly unknown[]): void {
    const changes = this.#recorder?.changes() ?? new Uint8Array();
    this.end();
    if (changes.length === 0) {
      this.#requireCurrent();
      return;
    }
    const before = readMirror(this.#database);
    const version = before.version + 1;
    const made = describeChanges(this.#database, changes);
    if (!this.#remote.isSettled && findEarlyUse(made, this.#waiting) !== undefined) this.#reject("early");
    const group = { version, id: this.#newId(), changes, described: JSON.stringify(made) };
    if (this.isLinked) {
      const rejection = this.#remote.apply(group);
      if (rejection !== null) this.#reject(rejection);
      setMirror(this.#database, { ...before, version, groupId: group.id });
      this.#onKept();
    } else {
      addUnsent(this.#database, { ...group, requests: serialize(requests) });
      setMirror(this.#database, { ...before, version });
    }
  }

  /** What was refused upon a copy that others have overtaken may not be refused upon what is there now. */
  #requireCurrent(): void {
    if (!this.#isShared || !this.isLinked) return;
    let place: StorePlace;
    try {
      place = this.#remote.place();
    } catch (error) {
      this.#reject(error instanceof TrustWardenError && error.code === "state_fenced" ? "fenced" : "lost");
    }
    if (this.isBehind(place)) this.#reject("behind");
  }

  /** After a group, however it ended. */
  end(): void {
    this.#recorder?.close();
    this.#recorder = null;
  }

  /**
   * Brings copy and database together under a new connection.
   *
   * @param options.isStart - nobody has read the copy yet, so that it may lose what does not fit.
   * @returns the requests of groups that were kept here and do not fit any more: they have to be run again, and
   *   forgotten then.
   * @throws TrustWardenError `store_unavailable`, `state_fenced`, `data_rolled_back`.
   */
  bringTogether(
    { version, storeId }: StorePlace,
    { isStart }: { readonly isStart: boolean },
  ): readonly Uint8Array[] {
    const unsent = listUnsent(this.#database);
    const [first] = unsent;
    const own = readMirror(this.#database);
    const base = first === undefined ? own.version : first.version - 1;
    const isSame = storeId === own.storeId;
    if (isSame) this.#requireNoneForgotten({ base, groupId: own.groupId }, version);
    const missing = isSame ? this.#groupsFrom(base, version) : null;
    // A group may be in the database although nobody heard of it.
    const known = missing?.findIndex((group, at) => group.id !== unsent[at]?.id) ?? 0;
    const sent = missing === null ? 0 : known === -1 ? missing.length : known;
    const isApart = this.#standing === "apart";
    const isAhead = missing !== null && sent === missing.length && !isApart;
    if (isAhead && this.#send(unsent, sent)) {
      this.#standing = "linked";
      return [];
    }
    // What was said to be stopped is forgotten by nobody: only a start, before anybody reads, runs it again.
    if (unsent.length > 0 && !isStart)
      throw new TrustWardenError("state_fenced", { reason: "groups do not fit" });
    if (
      missing === null ||
      isApart ||
      unsent.length > 0 ||
      !this.#repeat(
        missing.map(({ changes }) => changes),
        { version, storeId, groupId: missing.at(-1)?.id ?? own.groupId },
      )
    ) {
      this.#copyAll();
    }
    this.#standing = "linked";
    return unsent.map(({ requests }) => requests);
  }

  /** Forgets the groups that did not fit, once their commands have been run again. */
  forgetUnsent(): void {
    removeUnsent(this.#database, Number.MAX_SAFE_INTEGER);
  }

  #reject(rejection: Rejection): never {
    this.#standing = STANDINGS[rejection];
    throw new GroupNotKept(rejection);
  }

  /**
   * A database that was put back, or a standby that took over without the last commits, has forgotten what was answered:
   * whoever was stopped then would live again.
   *
   * @throws TrustWardenError `data_rolled_back`.
   */
  #requireNoneForgotten(
    { base, groupId }: { readonly base: number; readonly groupId: string },
    version: number,
  ): void {
    const details = { reason: "the state database has forgotten groups", version, seen: base };
    if (version < base) throw new TrustWardenError("data_rolled_back", details);
    if (groupId === "") return;
    const found = this.#remote.groupIdAt(base);
    if (found !== undefined && found !== groupId) throw new TrustWardenError("data_rolled_back", details);
  }

  /** Every group between two versions; null when one is missing. */
  #groupsFrom(
    base: number,
    version: number,
  ): readonly { readonly id: string; readonly changes: Uint8Array }[] | null {
    const groups: { readonly id: string; readonly changes: Uint8Array }[] = [];
    while (base + groups.length < version) {
      const found = this.#remote.groupsAfter(base + groups.length);
      if (found.length === 0 || found.some((group, at) => group.version !== base + groups.length + at + 1))
        return null;
      groups.push(...found);
    }
    // Others may have gone on meanwhile.
    return groups.slice(0, version - base);
  }

  /** Sends what was kept here, but for the first that are there. @returns false where one does not fit any more. */
  #send(unsent: ReturnType<typeof listUnsent>, sent: number): boolean {
    for (const [at, group] of unsent.entries()) {
      const rejection = at < sent ? null : this.#remote.apply(group);
      if (rejection === "moved" || rejection === "behind" || rejection === "unfit") return false;
      if (rejection !== null)
        throw new TrustWardenError("store_unavailable", { store: "postgres", rejection });
      this.#noteSent(group);
    }
    return true;
  }

  #noteSent({ version, id }: Pick<UnsentGroup, "version" | "id">): void {
    this.#database.exec("BEGIN IMMEDIATE");
    removeUnsent(this.#database, version);
    setMirror(this.#database, { ...readMirror(this.#database), groupId: id });
    this.#database.exec("COMMIT");
  }

  /** Whether recorded changes fit, all of them; otherwise none is made. */
  #repeat(
    changes: readonly Uint8Array[],
    place: Pick<StorePlace, "version" | "storeId"> & { readonly groupId: string },
  ): boolean {
    return this.#withoutReferences(() => {
      const fit = (group: Uint8Array) =>
        fitChanges(group, (table) => columnsOf(this.#database, table).length);
      if (!changes.every((group) => this.#database.applyChanges(fit(group)))) return false;
      setMirror(this.#database, place);
      for (const group of changes) for (const table of tablesOfChanges(group)) this.#followed?.add(table);
      return true;
    });
  }

  /** Makes the copy anew, in one step for whoever reads meanwhile. */
  #copyAll(): void {
    const names = tablesOfStore(this.#database);
    const tables = names.map((name) => ({ name, columns: columnsOf(this.#database, name) }));
    this.#followed = null;
    this.#withoutReferences(() => {
      for (const name of names) this.#database.run(`DELETE FROM "${name}"`);
      const place = this.#remote.readAll(tables, (table, rows) => {
        for (const row of rows) insert(this.#database, table, row);
      });
      if (this.#isShared) countOutboxFrom(this.#database, this.#remote.freshOutboxId());
      setMirror(this.#database, { ...place, groupId: "" });
      setCopied(this.#database);
      return true;
    });
  }

  /** A transaction in which rows come in any order; rolled back unless its work says true. */
  #withoutReferences(work: () => boolean): boolean {
    this.#database.exec("PRAGMA foreign_keys = OFF");
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      const isDone = work();
      this.#database.exec(isDone ? "COMMIT" : "ROLLBACK");
      return isDone;
    } catch (error) {
      if (this.#database.isInTransaction()) this.#database.exec("ROLLBACK");
      throw error;
    } finally {
      this.#database.exec("PRAGMA foreign_keys = ON");
    }
  }
}

/** A row of this copy must not have the id of one that another server marks later. */
function countOutboxFrom(database: SqliteDatabase, id: number): void {
  database.run("DELETE FROM sqlite_sequence WHERE name = 'outbox'");
  database.run("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", id);
}

function insert(database: SqliteDatabase, table: string, row: PostgresRow): void {
  const names = Object.keys(row);
  const columns = names.map((name) => `"${name}"`).join(", ");
  const places = names.map(() => "?").join(", ");
  database.run(
    `INSERT INTO "${table}" (${columns}) VALUES (${places})`,
    ...names.map((name) => bound(row[name])),
  );
}

function bound(value: unknown): SqlValue {
  if (value === null || typeof value === "string" || typeof value === "number" || value instanceof Uint8Array)
    return value;
  throw new Error("a column is of no known type");
}
