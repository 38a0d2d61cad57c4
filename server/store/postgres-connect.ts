/** A connection to PostgreSQL: what it is made with, and what the database must be to hold what is acknowledged. */
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Client, type CustomTypesConfig, type QueryResult } from "pg";

/** The first with `idle_session_timeout`. */
const MIN_SERVER_VERSION = 140_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** Weaker ones acknowledge what a crash of the database would lose. */
const WEAK_COMMITS: readonly unknown[] = ["off", "local", "remote_write"];

/** Where the database is, and who asks. */
export interface PostgresLogin {
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Called when the database wants a password. @throws TrustWardenError `config_invalid` without one. */
  readonly password: () => string;
  /** Absent: without TLS, which only this machine is good for. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string } | undefined;
}

/**
 * Connects. Everything is said, so that nothing is taken from the environment of the process.
 *
 * @param options.settings - of the session, by PostgreSQL's names.
 * @throws what the driver throws; its sentences may quote values.
 */
export async function connectPostgres(
  { host, port, database, user, password, tls }: PostgresLogin,
  options: {
    readonly name: string;
    /** After which the database gives a statement up. */
    readonly statementTimeoutMs: number;
    /** After which an answer is not waited for any more; some time after the database's own end unless given. */
    readonly answerTimeoutMs?: number;
    /** Of the connection itself; ten seconds unless given. */
    readonly connectTimeoutMs?: number;
    readonly settings: Readonly<Record<string, string>>;
    readonly types?: CustomTypesConfig;
  },
): Promise<Client> {
  const settings = { ...options.settings, statement_timeout: String(options.statementTimeoutMs) };
  const client = new Client({
    host,
    port,
    database,
    user,
    password,
    ssl: tls === undefined ? false : tlsOf(tls, host),
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
    application_name: options.name,
    client_encoding: "UTF8",
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    query_timeout: options.answerTimeoutMs ?? options.statementTimeoutMs + CONNECT_TIMEOUT_MS,
    keepAlive: true,
    ...(options.types && { types: options.types }),
  });
  // Without a listener the end of a connection that nobody waits for would end the process.
  client.on("error", () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}

function tlsOf(tls: NonNullable<PostgresLogin["tls"]>, host: string): ConnectionOptions {
  const name = isIP(host) === 0 ? { servername: host } : {};
  return { ...tls, ...name, rejectUnauthorized: true, minVersion: "TLSv1.2" };
}

/**
 * @param setting - which one named the database.
 * @throws TrustWardenError `config_invalid` for a database that may forget what it has committed.
 */
export async function requireDurable(client: Client, setting: string): Promise<void> {
  const invalid = (reason: string) => new TrustWardenError("config_invalid", { setting, reason });
  const answer: QueryResult<Readonly<Record<string, unknown>>> = await client.query(
    `select current_setting('server_version_num')::int as version, current_setting('fsync') as fsync,
       current_setting('full_page_writes') as pages, current_setting('synchronous_commit') as commits,
       pg_is_in_recovery() as standby`,
  );
  const [{ version, fsync, pages, commits, standby } = {}] = answer.rows;
  if (Number(version) < MIN_SERVER_VERSION) throw invalid("PostgreSQL 14 or newer is needed");
  if (standby !== false) throw invalid("the database is a standby, which takes no writes");
  if (fsync !== "on" || pages !== "on")
    throw invalid("the database runs without fsync or full_page_writes; it would lose acknowledged events");
  if (WEAK_COMMITS.includes(commits)) await client.query("set synchronous_commit = on");
}
