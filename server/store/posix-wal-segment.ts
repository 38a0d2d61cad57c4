/**
 * One file of the write-ahead log.
 *
 * Space is written with zeros before records come to lie in it: a durable write into blocks that exist waits for those
 * blocks alone, while one that makes a file longer also waits for the file system's own journal. Each write carries its
 * own sync (`O_DSYNC`), so that a record costs one hop to the thread pool.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Zeros written at a time; a crash leaves at most this much unused at the end of a file. */
const PREPARED_BYTES = 1_048_576;
/** More is prepared, while records are written, when less than this is left. */
const LOW_BYTES = 524_288;
const FILE_MODE = 0o600;
const ZEROS = new Uint8Array(PREPARED_BYTES);
/** Elsewhere this flag may stop at the drive's cache, where a sync call does not. */
const HAS_SYNCED_WRITES = process.platform === "linux";
const FLAGS =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (HAS_SYNCED_WRITES ? constants.O_DSYNC : 0);

/** Owns the open file. Everything below `#end` is durable between calls; from there to `#prepared` are zeros. */
export class PosixWalSegment {
  readonly #handle: FileHandle;
  #end = 0;
  #prepared = 0;
  /** At most one at a time; never rejects, what goes wrong is in `#failure`. */
  #preparing: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Makes a file with prepared space, content durable; the caller syncs the directory. */
  static async create(path: string): Promise<PosixWalSegment> {
    const handle = await open(path, FLAGS, FILE_MODE);
    const segment = new PosixWalSegment(handle);
    await segment.#require(PREPARED_BYTES);
    await handle.sync();
    return segment;
  }

  /** Appends a record, one call at a time; durable on return. After a failure nothing is known of the end. */
  async append(record: Uint8Array): Promise<void> {
    const start = this.#end;
    await this.#require(start + record.length);
    this.#end += record.length;
    const written = this.#write(record, start);
    if (this.#prepared - this.#end < LOW_BYTES) this.#prepare();
    await written;
  }

  async close(): Promise<void> {
    await this.#preparing;
    await this.#handle.close();
  }

  /** Waits until zeros reach up to a position: zeros that come after a record would erase it. */
  async #require(end: number): Promise<void> {
    while (this.#prepared < end && this.#failure === null) await this.#prepare();
    if (this.#failure !== null) throw this.#failure.error;
  }

  #prepare(): Promise<void> {
    this.#preparing ??= this.#writeZeros();
    return this.#preparing;
  }

  async #writeZeros(): Promise<void> {
    try {
      await this.#write(ZEROS, this.#prepared);
      this.#prepared += PREPARED_BYTES;
    } catch (error) {
      // Whoever appends next gets it: what a failed write left on the disk is not known.
      this.#failure = { error };
    } finally {
      this.#preparing = null;
    }
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
      if (bytesWritten === 0) throw new Error("the file takes no more bytes");
      done += bytesWritten;
    }
    if (!HAS_SYNCED_WRITES) await this.#handle.datasync();
  }
}
