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
// Tables of before version 9 do not say which they are.
const STORE = `select schema_version, (to_jsonb(s) ->> 'tables_version')::integer as tables_version, store_id, version,
    epoch, holder, source from trustwarden_state_log.store s`;
const PLACE = "select epoch, version, store_id, source, schema_version from trustwarden_state_log";
const TAKE_OVER = `${PLACE}.take_over($1, $2, $3)`;
const JOIN = `${PLACE}.join_store($1)`;
const SETTLE = "select trustwarden_state_log.settle($1, $2) as settled";
const TABLES =
  "select relname as name from pg_class where relnamespace = 'trustwarden_state'::regnamespace and relkind = 'r'";
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
/** The tables are a later version's. */
const TOO_NEW = "TW004";
/** A server of the version before that was not heard of for so long does not start again as that one. */
const QUIET_SECONDS = 60;
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
  /** What a server has to know at least to work on it. */
  readonly schemaVersion: number;
}

/** A table as this server has it. */
export interface KnownTable {
  readonly name: string;
  readonly columns: readonly string[];
}

/** Owns nothing but the writer's epoch, and whether older servers may write too; the connection is its opener's. */
export class RemoteStore {
  readonly #connection: PostgresConnection;
  readonly #isShared: boolean;
  #epoch = 0;
  #holder = "";
  #ownVersion = 0;
  #schemaVersion = 0;

  constructor(connection: PostgresConnection, { isShared }: Pick<StateSettings, "isShared">) {
    this.#connection = connection;
    this.#isShared = isShared;
  }

  /**
   * Becomes the writer, or one of those who share the store.
   *
   * @param ownVersion - which this server knows: the tables have it, or are on the way from it to the next.
   * @throws TrustWardenError `config_invalid`, `data_locked`, `store_unavailable`.
   */
  takeOver(holder: string, settings: StateSettings, ownVersion: number): StorePlace {
    this.#ownVersion = ownVersion;
    requireSchema(this.#ask(STORE), ownVersion);
    if (!this.#waitForLock(settings.lockWaitMs)) throw locked("another server is its writer");
    const before = this.#ask(STORE)[0]?.holder;
    // One that lost the database and did not let go may answer its verifiers until it has ended.
    const name = this.#isShared ? SHARERS : holder;
    if (!settings.goesOn && before !== null && before !== name) pause(TAKEOVER_PAUSE_MS);
    // Nobody else is there, of whatever version.
    if (!this.#isShared) this.#ask(SETTLE, ownVersion, 0);
    const [row] = this.#isShared
      ? this.#ask(JOIN, ownVersion)
      : this.#ask(TAKE_OVER, name, String(settings.goesOn), ownVersion);
    if (row === undefined)
      throw locked("the server that wrote last goes on without the database, and has not let go");
    const place = placeOf(row);
    this.#epoch = place.epoch;
    this.#schemaVersion = place.schemaVersion;
    this.#holder = name;
    return place;
  }

  /** Whether no server of the version before can write any more. */
  get isSettled(): boolean {
    return this.#schemaVersion === this.#ownVersion;
  }

  /** Shuts out servers of the version before, once none of them is left. The next look at the place says so. */
  settle(): void {
    this.#ask(SETTLE, this.#ownVersion, QUIET_SECONDS);
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
    const isOurs = place.epoch === this.#epoch || this.#isSettledSince(place);
    if (!isOurs || row.holder !== this.#holder) throw new TrustWardenError("state_fenced", {});
    this.#epoch = place.epoch;
    this.#schemaVersion = place.schemaVersion;
    return place;
  }

  /** Whether it is another epoch for no more than that the version before was shut out. */
  #isSettledSince({ epoch, schemaVersion }: StorePlace): boolean {
    const isNext = epoch === this.#epoch + 1 && schemaVersion === this.#schemaVersion + 1;
    return this.#isShared && isNext && schemaVersion <= this.#ownVersion;
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
    if (sqlState === FENCED) return this.#isOvertaken() ? "behind" : "fenced";
    if (sqlState === MOVED_ON) return this.#isShared ? "behind" : "moved";
    if (sqlState === OTHERS) return "moved";
    return UNFIT.test(sqlState) ? "unfit" : "lost";
  }

  /** Whether what was fenced was the epoch before the version before was shut out. */
  #isOvertaken(): boolean {
    const before = this.#epoch;
    try {
      this.place();
    } catch {
      // Safe: the group is refused as another writer's, and whoever looks next finds out.
      return false;
    }
    return this.#epoch !== before;
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

  /** All rows of the tables as of one instant, as this server knows them. @returns the version of that instant. */
  readAll(
    tables: readonly KnownTable[],
    onRows: (table: string, rows: readonly PostgresRow[]) => void,
  ): StorePlace {
    this.#ask("begin isolation level repeatable read read only");
    const [store] = this.#ask(STORE);
    if (store === undefined) throw new Error("the store has one row");
    // One that this server writes no more may be gone with the next version.
    const there = new Set(this.#ask(TABLES).map((row) => row.name));
    for (const { name: table, columns } of tables.filter(({ name }) => there.has(name))) {
      const named = columns.map((column) => `"${column}"`).join(", ");
      this.#ask(`declare every_row no scroll cursor for select ${named} from "${table}"`);
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

function placeOf({
  version,
  store_id: storeId,
  epoch,
  source,
  schema_version: schemaVersion,
}: PostgresRow): StorePlace {
  return {
    schemaVersion: Number(schemaVersion),
    version: Number(version),
    storeId: String(storeId),
    epoch: Number(epoch),
    source: typeof source === "string" ? source : "",
  };
}

/** Servers of the version before may still be there, or those of the next one come already. */
function requireSchema([store]: readonly PostgresRow[], wanted: number): void {
  const found = Number(store?.schema_version);
  const tables = Number(store?.tables_version ?? found);
  if (found === wanted || (found === wanted - 1 && tables === wanted)) return;
  const reason = `the schema trustwarden_state is of version ${Math.max(found, tables)}, not ${wanted}: apply what \`warden state sql\` prints`;
  throw new TrustWardenError("config_invalid", { setting: "state.postgres", reason });
}

/** What a missing schema, or one that is not granted, is refused with. */
export function explainMissingSchema(error: unknown): unknown {
  if (!(error instanceof StatementFailure)) return error;
  const { sqlState } = error;
  if (sqlState !== TOO_NEW && !NO_SCHEMA.includes(sqlState)) return error;
  const reason =
    sqlState === TOO_NEW
      ? "the tables are a later version's by now: start that one's server"
      : "the schema is missing or not granted: apply what `warden state sql` prints";
  return new TrustWardenError("config_invalid", {
    setting: "state.postgres",
    reason,
    sqlState,
  });
}

function locked(reason: string): TrustWardenError {
  return new TrustWardenError("data_locked", { store: "postgres", reason });
}
