/**
 * The state store in PostgreSQL, as its writer speaks to it: who may write, which group is the latest, and the groups.
 *
 * One writer at a time: the session's lock says so at once, and its epoch, which the next writer raises, in every group.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Rejection } from "../replica.ts";
import { type PostgresConnection, StatementFailure } from "./connection.ts";
import { type PostgresRow, type PostgresValue, SHARERS, type StateSettings } from "./protocol.ts";

const LOCK = "select pg_try_advisory_lock(hashtextextended('trustwarden-state', 0)) as locked";
/** Servers that share the store hold the lock together, and keep out whoever wants it alone. */
const SHARED_LOCK = "select pg_try_advisory_lock_shared(hashtextextended('trustwarden-state', 0)) as locked";
const STORE =
  "select schema_version, store_id, version, epoch, holder, source from trustwarden_state_log.store";
const TAKE_OVER = "select epoch, version, store_id, source from trustwarden_state_log.take_over($1, $2)";
const JOIN = "select epoch, version, store_id, source from trustwarden_state_log.join_store()";
const NAME_SOURCE = "select trustwarden_state_log.name_source($1, $2)";
const LET_GO = "select trustwarden_state_log.let_go($1)";
const APPLY = "select trustwarden_state_log.apply_group($1, $2, $3, $4, $5)";
const FRESH_OUTBOX_ID = "select trustwarden_state_log.fresh_outbox_id()::float8 as id";
const GROUP_ID = "select id from trustwarden_state_log.groups where version = $1";
const GROUPS =
  "select version, id, changes from trustwarden_state_log.groups where version > $1 order by version limit 100";
const LOCK_POLL_MS = 100;
/** The grace of a server that ends (`main.ts`), the lease of its verifiers, and some more. */
const TAKEOVER_PAUSE_MS = 3000;
const FETCH_ROWS = 2000;
const NO_SCHEMA: readonly string[] = ["3F000", "42P01", "42501"];
const FENCED = "TW001";
/** Somebody else's group has the number. */
const MOVED_ON = "TW002";
/** The tables have changed without this writer. */
const OTHERS = "TW003";
/** What a group holds, and not the database, is at fault: data exceptions, and rules of the tables. */
const UNFIT = /^2[23]/;

export interface RemoteGroup {
  readonly version: number;
  readonly id: string;
  /** Empty for changes that are too old to be repeated. */
  readonly changes: Uint8Array;
}

/** Where the store stands. */
export interface StorePlace {
  readonly version: number;
  readonly storeId: string;
  readonly epoch: number;
  /** Which store was moved here; empty for none. */
  readonly source: string;
}

/** Owns nothing but the writer's epoch; the connection is its opener's. */
export class RemoteStore {
  readonly #connection: PostgresConnection;
  readonly #isShared: boolean;
  #epoch = 0;
  #holder = "";

  constructor(connection: PostgresConnection, { isShared }: Pick<StateSettings, "isShared">) {
    this.#connection = connection;
    this.#isShared = isShared;
  }

  /**
   * Becomes the writer, or one of those who share the store.
   *
   * @param schemaVersion - which the tables must be of.
   * @throws TrustWardenError `config_invalid`, `data_locked`, `store_unavailable`.
   */
  takeOver(holder: string, settings: StateSettings, schemaVersion: number): StorePlace {
    requireSchema(this.#ask(STORE), schemaVersion);
    if (!this.#waitForLock(settings.lockWaitMs)) throw locked("another server is its writer");
    const before = this.#ask(STORE)[0]?.holder;
    // One that lost the database and did not let go may answer its verifiers until it has ended.
    const name = this.#isShared ? SHARERS : holder;
    if (!settings.goesOn && before !== null && before !== name) pause(TAKEOVER_PAUSE_MS);
    const [row] = this.#isShared ? this.#ask(JOIN) : this.#ask(TAKE_OVER, name, String(settings.goesOn));
    if (row === undefined)
      throw locked("the server that wrote last goes on without the database, and has not let go");
    const place = placeOf(row);
    this.#epoch = place.epoch;
    this.#holder = name;
    return place;
  }

  /**
   * The place under a new connection; undefined while the lost session still holds the lock.
   *
   * @throws TrustWardenError `state_fenced` when another server has become the writer; `store_unavailable`.
   */
  comeBack(): StorePlace | undefined {
    this.place();
    // With the lock nothing of the lost session can be committed any more, so that the second answer is the last word.
    // Where the lock is shared it may be, under a number that nobody else then has: it comes as others' groups do.
    return this.#waitForLock(0) ? this.place() : undefined;
  }

  /**
   * Where the store stands now.
   *
   * @throws TrustWardenError `state_fenced` when another server has become the writer; `store_unavailable`.
   */
  place(): StorePlace {
    const [row = {}] = this.#ask(STORE);
    const place = placeOf(row);
    // In a database that was put back another writer may have had the same epoch.
    if (place.epoch !== this.#epoch || row.holder !== this.#holder)
      throw new TrustWardenError("state_fenced", {});
    return place;
  }

  /** Puts a group into the tables; null when it is there. */
  apply(group: {
    readonly version: number;
    readonly id: string;
    readonly described: string;
    readonly changes: Uint8Array | null;
  }): Rejection | null {
    const { version, id, described, changes } = group;
    try {
      this.#connection.query(APPLY, this.#epoch, version, id, described, changes);
      return null;
    } catch (error) {
      if (!(error instanceof StatementFailure)) throw error;
      return error.isInDoubt ? "doubt" : this.#rejectionOf(error.sqlState);
    }
  }

  #rejectionOf(sqlState: string): Rejection {
    if (sqlState === FENCED) return "fenced";
    if (sqlState === MOVED_ON) return this.#isShared ? "behind" : "moved";
    if (sqlState === OTHERS) return "moved";
    return UNFIT.test(sqlState) ? "unfit" : "lost";
  }

  /** Which group has a number; undefined for one that is too old, or was a change by hand. */
  groupIdAt(version: number): string | undefined {
    const [row] = this.#ask(GROUP_ID, version);
    return row === undefined ? undefined : String(row.id);
  }

  /** Groups after a version, in order, as many as come at once. */
  groupsAfter(version: number): readonly RemoteGroup[] {
    return this.#ask(GROUPS, version).map(({ version, id, changes }) => ({
      version: Number(version),
      id: String(id),
      changes: changes instanceof Uint8Array ? changes : new Uint8Array(),
    }));
  }

  /** All rows of the tables as of one instant. @returns the version of that instant. */
  readAll(
    tables: readonly string[],
    onRows: (table: string, rows: readonly PostgresRow[]) => void,
  ): StorePlace {
    this.#ask("begin isolation level repeatable read read only");
    const [store] = this.#ask(STORE);
    if (store === undefined) throw new Error("the store has one row");
    for (const table of tables) {
      this.#ask(`declare every_row no scroll cursor for select * from "${table}"`);
      for (;;) {
        const rows = this.#ask(`fetch ${FETCH_ROWS} from every_row`);
        if (rows.length === 0) break;
        onRows(table, rows);
      }
      this.#ask("close every_row");
    }
    this.#ask("commit");
    return placeOf(store);
  }

  /** From here on ids of the outbox were never given, by no server. */
  freshOutboxId(): number {
    const [row] = this.#ask(FRESH_OUTBOX_ID);
    const id = Number(row?.id);
    if (!Number.isSafeInteger(id)) throw new Error("an id is a number");
    return id;
  }

  /** Says which store was moved here. */
  nameSource(id: string): void {
    this.#ask(NAME_SOURCE, this.#epoch, id);
  }

  /** Gives the store back; whoever comes next need not ask. Of several the others keep it. */
  letGo(): void {
    if (!this.#isShared) this.#ask(LET_GO, this.#epoch);
  }

  /** Whether the lock is this session's; it is waited for by asking, so that whoever waits is not in the database's way. */
  #waitForLock(waitMs: number | null): boolean {
    const untilMs = waitMs === null ? Number.POSITIVE_INFINITY : performance.now() + waitMs;
    for (;;) {
      if (this.#ask(this.#isShared ? SHARED_LOCK : LOCK)[0]?.locked === true) return true;
      if (performance.now() >= untilMs) return false;
      pause(LOCK_POLL_MS);
    }
  }

  #ask(sql: string, ...values: readonly PostgresValue[]): readonly PostgresRow[] {
    return this.#connection.query(sql, ...values);
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0, ms);
}

function placeOf({ version, store_id: storeId, epoch, source }: PostgresRow): StorePlace {
  return {
    version: Number(version),
    storeId: String(storeId),
    epoch: Number(epoch),
    source: typeof source === "string" ? source : "",
  };
}

function requireSchema([store]: readonly PostgresRow[], wanted: number): void {
  const found = Number(store?.schema_version);
  if (found === wanted) return;
  const reason = `the schema trustwarden_state is of version ${found}, not ${wanted}: apply what \`warden state sql\` prints`;
  throw new TrustWardenError("config_invalid", { setting: "state.postgres", reason });
}

/** What a missing schema, or one that is not granted, is refused with. */
export function explainMissingSchema(error: unknown): unknown {
  if (!(error instanceof StatementFailure) || !NO_SCHEMA.includes(error.sqlState)) return error;
  const reason = "the schema is missing or not granted: apply what `warden state sql` prints";
  return new TrustWardenError("config_invalid", {
    setting: "state.postgres",
    reason,
    sqlState: error.sqlState,
  });
}

function locked(reason: string): TrustWardenError {
  return new TrustWardenError("data_locked", { store: "postgres", reason });
}
