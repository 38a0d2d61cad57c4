/**
 * A session with a database that is made anew when it is lost, for what is asked beside the writer: one statement at a time,
 * and notices of one channel.
 *
 * Nothing is retried here: whatever was under way when the session was lost is in doubt, and whoever asked decides.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Client } from "pg";
import { connectPostgres, type PostgresLogin } from "./postgres-connect.ts";

const STATEMENT_TIMEOUT_MS = 5000;

/** A row as it comes. */
export type SessionRow = Readonly<Record<string, unknown>>;

export interface PostgresSessionOptions {
  /** Asked for at each connection: a password may have changed. */
  readonly login: () => PostgresLogin;
  /** As the database lists it. */
  readonly name: string;
  /** Listened to, where anybody wants notices. */
  readonly channel?: string;
  readonly onNotice?: () => void;
}

/** Owns the connection. */
export class PostgresSession {
  readonly #options: PostgresSessionOptions;
  #connecting: Promise<Client> | null = null;
  /** The statement before: a session has one at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: PostgresSessionOptions) {
    this.#options = options;
  }

  /** @throws TrustWardenError `store_unavailable`: nobody knows whether it was done. */
  query(sql: string, values: unknown[]): Promise<readonly SessionRow[]> {
    const asked = this.#turn.then(() => this.#run(sql, values));
    this.#turn = asked.catch(() => undefined);
    return asked;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#drop();
  }

  async #run(sql: string, values: unknown[]): Promise<readonly SessionRow[]> {
    try {
      if (this.#isClosed) throw new Error("closed");
      this.#connecting ??= this.#connect();
      const client = await this.#connecting;
      const { rows } = await client.query<SessionRow>(sql, values);
      return rows;
    } catch (cause) {
      await this.#drop();
      throw new TrustWardenError("store_unavailable", { store: "postgres" }, { cause });
    }
  }

  async #connect(): Promise<Client> {
    const { login, name, channel, onNotice } = this.#options;
    const client = await connectPostgres(login(), {
      name,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      answerTimeoutMs: STATEMENT_TIMEOUT_MS,
      settings: { search_path: "" },
    });
    if (channel === undefined) return client;
    client.on("notification", () => onNotice?.());
    await client.query(`listen ${channel}`);
    return client;
  }

  async #drop(): Promise<void> {
    const connecting = this.#connecting;
    this.#connecting = null;
    // Safe: whoever waits for this session has its own refusal.
    await connecting?.then((client) => client.end()).catch(() => undefined);
  }
}
