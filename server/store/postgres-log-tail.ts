/**
 * What is newer than the tiles of a log that another server sequences: the records of its write-ahead log in PostgreSQL.
 *
 * A record that is there is durable and in its place for ever: the next sequencer takes up all of them. Reads only, over a
 * session of its own that is made anew when it is lost.
 */
import type { LogTail, TailPlace, TailRecords } from "@trustwarden/core/agentledger/log-tail.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PostgresLogin } from "./postgres-connect.ts";
import { PostgresSession } from "./postgres-session.ts";

// One statement, one instant; a log without a new record is a row without one.
const READ = `select l.segment::float8 as current, w.segment::float8 as segment, w.position::float8 as position, w.record
  from trustwarden_ledger.log l left join lateral (
    select segment, position, record from trustwarden_ledger.wal
    where log = l.id and (segment, position) > ($2::bigint, $3::bigint) order by segment, position limit 256) w on true
  where l.id = $1 order by w.segment, w.position`;

/** Owns the session. */
export class PostgresLogTail implements LogTail {
  readonly #session: PostgresSession;

  /** @param login - asked for at each connection: a password may have changed. */
  constructor(login: () => PostgresLogin) {
    this.#session = new PostgresSession({ login, name: "trustwarden-ledger-tail" });
  }

  async readAfter(log: string, { segment, position }: TailPlace): Promise<TailRecords> {
    const rows = await this.#session.query(READ, [log, segment, position]).catch((cause: unknown) => {
      throw new TrustWardenError("ledger_unavailable", { reason: "the end of the log" }, { cause });
    });
    const found = rows.filter(({ record }) => record !== null);
    const last = found.at(-1);
    return {
      records: found.map(({ record }) => bytesOf(record)),
      place: { segment: Number(last?.segment ?? segment), position: Number(last?.position ?? position) },
      segment: Number(rows[0]?.current ?? -1),
    };
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

function bytesOf(value: unknown): Uint8Array {
  if (!Buffer.isBuffer(value)) throw new TrustWardenError("ledger_corrupt", { reason: "not bytes" });
  return new Uint8Array(value);
}
