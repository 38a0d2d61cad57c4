/**
 * What is newer than the tiles of a log that another server sequences: the records of its write-ahead log in PostgreSQL.
 *
 * A record that is there is durable and in its place for ever: the next sequencer takes up all of them. Reads only, over a
 * session of its own that is made anew when it is lost.
 */
import type { LogTail, TailPlace, TailRecords } from "@trustwarden/core/agentledger/log-tail.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Client } from "pg";
import { connectPostgres, type PostgresLogin } from "./postgres-connect.ts";

const STATEMENT_TIMEOUT_MS = 5000;
// One statement, one instant; a log without a new record is a row without one.
const READ = `select l.segment::float8 as current, w.segment::float8 as segment, w.position::float8 as position, w.record
  from trustwarden_ledger.log l left join lateral (
    select segment, position, record from trustwarden_ledger.wal
    where log = l.id and (segment, position) > ($2::bigint, $3::bigint) order by segment, position limit 256) w on true
  where l.id = $1 order by w.segment, w.position`;

/** Owns the session. */
export class PostgresLogTail implements LogTail {
  readonly #login: () => PostgresLogin;
  #connecting: Promise<Client> | null = null;

  /** @param login - asked for at each connection: a password may have changed. */
  constructor(login: () => PostgresLogin) {
    this.#login = login;
  }

  async readAfter(log: string, { segment, position }: TailPlace): Promise<TailRecords> {
    try {
      this.#connecting ??= connectPostgres(this.#login(), {
        name: "trustwarden-ledger-tail",
        statementTimeoutMs: STATEMENT_TIMEOUT_MS,
        answerTimeoutMs: STATEMENT_TIMEOUT_MS,
        settings: { search_path: "" },
      });
      const client = await this.#connecting;
      const { rows } = await client.query<Readonly<Record<string, unknown>>>(READ, [log, segment, position]);
      const found = rows.filter(({ record }) => record !== null);
      const last = found.at(-1);
      return {
        records: found.map(({ record }) => bytesOf(record)),
        place: { segment: Number(last?.segment ?? segment), position: Number(last?.position ?? position) },
        segment: Number(rows[0]?.current ?? -1),
      };
    } catch (cause) {
      await this.close();
      if (cause instanceof TrustWardenError) throw cause;
      throw new TrustWardenError("ledger_unavailable", { reason: "the end of the log" }, { cause });
    }
  }

  async close(): Promise<void> {
    const connecting = this.#connecting;
    this.#connecting = null;
    // Safe: whoever waits for this session has its own refusal.
    await connecting?.then((client) => client.end()).catch(() => undefined);
  }
}

function bytesOf(value: unknown): Uint8Array {
  if (!Buffer.isBuffer(value)) throw new TrustWardenError("ledger_corrupt", { reason: "not bytes" });
  return new Uint8Array(value);
}
