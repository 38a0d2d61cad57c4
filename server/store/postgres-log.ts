/**
 * `LogStorage` on PostgreSQL and an S3-compatible object store.
 *
 * The database holds what must change by compare-and-swap (write-ahead log, state), the object store what is published.
 * A record is durable when its statement has been answered, an object when its PUT has. As on a disk, the first failed
 * write is the last: what it did is not known, and only the next start finds out.
 */
import type { LogObject, LogState, LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { PostgresLogSession, type PostgresPlace } from "./postgres-log-session.ts";
import type { S3Client } from "./s3-client.ts";
import { S3LogObjects, type S3LogReader } from "./s3-objects.ts";

/** A takeover may have shown its own checkpoint; nobody takes over this often. */
const MAX_PUBLISH_TRIES = 3;

const READ_WAL = `select segment, record from trustwarden_ledger.wal where log = $1 order by segment, position`;
const READ_STATE = `select size, root, checkpoint from trustwarden_ledger.log where id = $1 and size is not null`;
const LAST_POSITION = `select coalesce(max(position), 0) as position from trustwarden_ledger.wal where log = $1`;
// Sharing the row with nobody who changes it makes a takeover wait for the append, and an append see the takeover.
const APPEND_WAL = `with mine as
    (select segment from trustwarden_ledger.log where id = $1 and epoch = $2 for share)
  insert into trustwarden_ledger.wal (log, segment, position, record) select $1, segment, $3, $4 from mine`;
const ROTATE_WAL = `update trustwarden_ledger.log set segment = segment + 1 where id = $1 and epoch = $2`;
const TRIM_WAL = `with mine as
    (select segment from trustwarden_ledger.log where id = $1 and epoch = $2 for share),
  gone as (delete from trustwarden_ledger.wal using mine where log = $1 and wal.segment < mine.segment)
  select 1 from mine`;
const SWAP_STATE = `update trustwarden_ledger.log set size = $3, root = $4, checkpoint = $5
  where id = $1 and epoch = $2 and size is not distinct from $6 and root is not distinct from $7
    and checkpoint is not distinct from $8`;

/** What the storage is made of. */
export interface PostgresLogOptions {
  readonly place: PostgresPlace;
  readonly objects: S3Client;
  /** Asked for what is published: by a client that gives up sooner, since requests wait for it. */
  readonly reader: S3LogReader;
  /** Name of the log: several may share a database, each with a prefix of its own in the object store. */
  readonly origin: string;
  /** Called once when another has taken the log over, or the session is lost: the process must stop. */
  readonly onLost: (error: unknown) => void;
}

/** The writer of a log. Owns the session with the database between `open` and `close`. */
export class PostgresLogStorage implements LogStorage {
  readonly #options: PostgresLogOptions;
  readonly #objects: S3LogObjects;
  #session: PostgresLogSession | null = null;
  #position = 0;
  #hasFailed = false;

  constructor(options: PostgresLogOptions) {
    this.#options = options;
    this.#objects = new S3LogObjects(options.objects);
  }

  async open(): Promise<void> {
    const { place, origin, onLost } = this.#options;
    const session = await PostgresLogSession.open(place, { log: origin, onLost });
    try {
      const [last] = await session.read(LAST_POSITION);
      this.#position = countOf(last?.position);
      await this.#objects.open();
    } catch (error) {
      await session.close();
      throw error;
    }
    this.#session = session;
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    this.#options.objects.close();
    await session?.close();
  }

  readObject(path: string): Promise<Uint8Array> {
    return this.#options.reader.readObject(path);
  }

  readCheckpoint(): Promise<string | null> {
    return this.#options.reader.readCheckpoint();
  }

  async appendWal(record: Uint8Array): Promise<void> {
    await this.#write(async (session) => {
      this.#position += 1;
      requireChanged(await session.write(APPEND_WAL, [this.#position, bytesOf(record)]));
    });
  }

  async readWal(): Promise<readonly Uint8Array[]> {
    const segments = new Map<unknown, Buffer[]>();
    for (const { segment, record } of await this.#held().read(READ_WAL)) {
      const records = segments.get(segment);
      if (records === undefined) segments.set(segment, [bufferOf(record)]);
      else records.push(bufferOf(record));
    }
    return [...segments.values()].map((records) => new Uint8Array(Buffer.concat(records)));
  }

  async rotateWal(): Promise<void> {
    await this.#write(async (session) => requireChanged(await session.write(ROTATE_WAL)));
  }

  async trimWal(): Promise<void> {
    await this.#write(async (session) => requireChanged(await session.write(TRIM_WAL)));
  }

  async writeObjects(objects: readonly LogObject[]): Promise<void> {
    await this.#write(() => this.#objects.write(objects));
  }

  async removePartials(fullTilePaths: readonly string[]): Promise<void> {
    await this.#write(() => this.#objects.removePartials(fullTilePaths));
  }

  async readState(): Promise<LogState | null> {
    const [row] = await this.#held().read(READ_STATE);
    if (row === undefined) return null;
    const { size, root, checkpoint } = row;
    return { size: countOf(size), root: new Uint8Array(bufferOf(root)), checkpoint: String(checkpoint) };
  }

  async swapState(expected: LogState | null, next: LogState): Promise<void> {
    await this.#write(async (session) => {
      const values = [...columnsOf(next), ...columnsOf(expected)];
      requireChanged(await session.write(SWAP_STATE, values));
    });
  }

  async publishCheckpoint(note: string): Promise<void> {
    await this.#write(async (session) => {
      for (let tries = 0; tries < MAX_PUBLISH_TRIES; tries += 1) {
        if (await this.#objects.swapCheckpoint(note)) return;
        // Somebody else wrote. Whoever was taken over stops here; whoever took over comes after the last of the other.
        await session.requireWriter();
      }
      throw new TrustWardenError("ledger_corrupt", { reason: "somebody else publishes checkpoints" });
    });
  }

  #held(): PostgresLogSession {
    if (this.#session === null) throw new Error("the storage is not open");
    return this.#session;
  }

  async #write(work: (session: PostgresLogSession) => Promise<void>): Promise<void> {
    const session = this.#held();
    if (this.#hasFailed)
      throw new TrustWardenError("store_unavailable", { reason: "an earlier write failed" });
    try {
      await work(session);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }
}

/** @throws TrustWardenError `ledger_corrupt`. */
function requireChanged(isChanged: boolean): void {
  if (!isChanged) throw new TrustWardenError("ledger_corrupt", { reason: "state changed under the writer" });
}

function columnsOf(state: LogState | null): readonly unknown[] {
  return state === null ? [null, null, null] : [state.size, bytesOf(state.root), state.checkpoint];
}

/** The same memory as the type that the driver sends as bytes. */
function bytesOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

function bufferOf(value: unknown): Buffer {
  if (!Buffer.isBuffer(value)) throw new TrustWardenError("ledger_corrupt", { reason: "not bytes" });
  return value;
}

/** The driver gives large integers as text. */
function countOf(value: unknown): number {
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 0)
    throw new TrustWardenError("ledger_corrupt", { reason: "not a count" });
  return count;
}
