/**
 * The one writer's session with PostgreSQL: its lock, its epoch, and every statement it makes.
 *
 * The lock belongs to the session and is there for liveness: a second writer is told at once. Safety is the epoch, which
 * taking the log over raises and which every write requires to be its own, so that a writer which lost its session, or
 * slept while another took over, changes nothing any more. PostgreSQL ends the session of a writer that says nothing for
 * a while; the writer says something well before. A lost session is never made anew: what its last statement did is not
 * known, and only a start finds out.
 *
 * @see PostgreSQL, "Advisory Locks" and `idle_session_timeout`
 */
import { setTimeout } from "node:timers/promises";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Client, DatabaseError, type QueryResult } from "pg";
import { connectPostgres, type PostgresLogin, requireDurable } from "./postgres-connect.ts";

const SCHEMA_VERSION = 1;
const SETTING = "ledger.postgres";
/** A statement that takes longer than this has failed. */
const STATEMENT_TIMEOUT_MS = 30_000;
/** Signs of life in one timeout of the session. */
const BEATS = 6;
const LOCK_POLL_MS = 50;
const NO_SCHEMA: readonly unknown[] = ["3F000", "42P01", "42501"];

/** Where the database is, and how long its lock and its session last. */
export interface PostgresPlace extends PostgresLogin {
  /** After so long without a sign of life the database takes the log away from its writer. */
  readonly sessionTimeoutMs: number;
  /** How long the lock is waited for: the database needs a moment to see that a writer's process is gone. */
  readonly lockWaitMs: number;
}

/** A writer that may write. Statements go one after the other: the driver takes one at a time, and a beat comes when it likes. */
export class PostgresLogSession {
  readonly #client: Client;
  readonly #log: string;
  readonly #epoch: string;
  readonly #heart: NodeJS.Timeout;
  readonly #onLost: (error: unknown) => void;
  #turn: Promise<unknown> = Promise.resolve();
  #lost: TrustWardenError | null = null;
  #isClosing = false;

  private constructor(
    client: Client,
    options: {
      readonly log: string;
      readonly epoch: string;
      readonly beatMs: number;
      readonly onLost: OnLost;
    },
  ) {
    this.#client = client;
    this.#log = options.log;
    this.#epoch = options.epoch;
    this.#onLost = options.onLost;
    this.#heart = setInterval(() => void this.#beat(), options.beatMs);
    this.#heart.unref();
    client.on("error", (cause) => this.#lose(lostBecause(cause)));
    client.on("end", () => this.#lose(lostBecause(undefined)));
  }

  /**
   * Becomes the writer of a log.
   *
   * @param onLost - called once when this writer is the writer no longer: the process must stop.
   * @throws TrustWardenError `data_locked` while another is; `config_invalid`, `store_unavailable`.
   */
  static async open(
    place: PostgresPlace,
    { log, onLost }: { readonly log: string; readonly onLost: OnLost },
  ): Promise<PostgresLogSession> {
    const client = await open(place);
    try {
      await requireDurable(client, SETTING);
      await requireSchema(client);
      await takeLock(client, { log, waitMs: place.lockWaitMs });
      const epoch = await takeOver(client, log);
      const beatMs = Math.ceil(place.sessionTimeoutMs / BEATS);
      return new PostgresLogSession(client, { log, epoch, beatMs, onLost });
    } catch (error) {
      await client.end();
      throw asFailure(error);
    }
  }

  /** Gives the log back. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#heart);
    await this.#client.end();
  }

  /** Rows of a question; `$1` is the log. @throws TrustWardenError `store_unavailable`. */
  async read(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return rowsOf(await this.#query(sql, [this.#log]));
  }

  /**
   * A statement that changes one row where `$1` is the log and `$2` this writer's epoch.
   *
   * @returns false when it changed none although the epoch is this writer's: its own condition did not hold.
   * @throws TrustWardenError `ledger_fenced`, `store_unavailable`.
   */
  async write(sql: string, values: readonly unknown[] = []): Promise<boolean> {
    const { rowCount } = await this.#query(sql, [this.#log, this.#epoch, ...values]);
    if ((rowCount ?? 0) > 0) return true;
    await this.requireWriter();
    return false;
  }

  /** @throws TrustWardenError `ledger_fenced`, `store_unavailable`. */
  async requireWriter(): Promise<void> {
    const sql = "select 1 from trustwarden_ledger.log where id = $1 and epoch = $2";
    const { rowCount } = await this.#query(sql, [this.#log, this.#epoch]);
    if (rowCount === 1) return;
    const fenced = new TrustWardenError("ledger_fenced", { log: this.#log });
    this.#lose(fenced);
    throw fenced;
  }

  #query(sql: string, values: readonly unknown[]): Promise<QueryResult> {
    const asked = this.#turn.then(() => this.#run(sql, values));
    this.#turn = asked.catch(() => undefined);
    return asked;
  }

  async #run(sql: string, values: readonly unknown[]): Promise<QueryResult> {
    if (this.#lost !== null) throw this.#lost;
    try {
      return await this.#client.query(sql, [...values]);
    } catch (error) {
      throw asFailure(error);
    }
  }

  async #beat(): Promise<void> {
    try {
      await this.requireWriter();
    } catch (error) {
      this.#lose(asFailure(error));
    }
  }

  #lose(error: TrustWardenError): void {
    if (this.#lost !== null || this.#isClosing) return;
    this.#lost = error;
    clearInterval(this.#heart);
    this.#onLost(error);
  }
}

type OnLost = (error: unknown) => void;

async function open(place: PostgresPlace): Promise<Client> {
  try {
    return await connectPostgres(place, {
      name: "trustwarden-ledger",
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      settings: { search_path: "", idle_session_timeout: String(place.sessionTimeoutMs) },
    });
  } catch (error) {
    throw asFailure(error);
  }
}

async function requireSchema(client: Client): Promise<void> {
  const [{ version } = {}] = rowsOf(await client.query("select version from trustwarden_ledger.version"));
  if (version !== SCHEMA_VERSION)
    throw invalid(`the schema trustwarden_ledger is of version ${String(version)}, not ${SCHEMA_VERSION}`);
}

async function takeLock(
  client: Client,
  { log, waitMs }: { readonly log: string; readonly waitMs: number },
): Promise<void> {
  const sql = "select pg_try_advisory_lock(hashtextextended($1, 0)) as locked";
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    const [{ locked } = {}] = rowsOf(await client.query(sql, [`trustwarden-ledger:${log}`]));
    if (locked === true) return;
    if (performance.now() >= deadlineMs) throw new TrustWardenError("data_locked", { log });
    await setTimeout(LOCK_POLL_MS);
  }
}

/** @returns the epoch that is this writer's alone. */
async function takeOver(client: Client, log: string): Promise<string> {
  const sql = `insert into trustwarden_ledger.log as log (id, epoch) values ($1, 1)
    on conflict (id) do update set epoch = log.epoch + 1 returning epoch`;
  const [{ epoch } = {}] = rowsOf(await client.query(sql, [log]));
  return String(epoch);
}

function rowsOf({ rows }: QueryResult): readonly Readonly<Record<string, unknown>>[] {
  return rows;
}

/** The database's sentence may quote values; its code says enough. */
function asFailure(error: unknown): TrustWardenError {
  if (error instanceof TrustWardenError) return error;
  const sqlState = error instanceof DatabaseError ? (error.code ?? "") : "";
  if (NO_SCHEMA.includes(sqlState)) {
    const reason = "the schema is missing or not granted: apply server/store/postgres-log.sql";
    return invalid(reason, { sqlState }, error);
  }
  return new TrustWardenError("store_unavailable", { store: "postgres", sqlState }, { cause: error });
}

function lostBecause(cause: unknown): TrustWardenError {
  const sqlState = cause instanceof DatabaseError ? (cause.code ?? "") : "";
  const details = { store: "postgres", reason: "the session with the database is lost", sqlState };
  return new TrustWardenError("store_unavailable", details, { cause });
}

function invalid(reason: string, details = {}, cause?: unknown): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting: SETTING, reason, ...details }, { cause });
}
