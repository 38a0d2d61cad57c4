/**
 * `LogStorage` on a POSIX file system.
 *
 * One directory: `checkpoint` and `tile/` are the published log exactly as tlog-tiles lays it out (copying them is an
 * export); `state.json`, `wal/`, `tmp/` and `lock` belong to the writer. Every method that says durable has synced
 * content and name. The first failed write is the last: a second fsync after a failed one may report success for
 * pages that the kernel has already dropped.
 */
import { readdir, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeLogState, parseLogState } from "@trustwarden/core/agentledger/log-state.ts";
import type { LogObject, LogReader, LogState, LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { parseTilePath, TILE_WIDTH } from "@trustwarden/core/agentledger/tile.ts";
import { encodeUtf8, isEqualBytes, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { acquirePosixLock, type PosixLock } from "./posix-lock.ts";
import {
  makeDirectory,
  makeTemporaryDirectory,
  readFileIfAny,
  replaceFile,
  syncDirectory,
  writeOnce,
} from "./posix-log-files.ts";
import { PosixWalSegment } from "./posix-wal-segment.ts";

/** Files written at once; one thread of the pool's four is left to the write-ahead log, for which decisions wait. */
const PARALLEL_WRITES = 3;
const SEGMENT_NAME = /^\d{12}\.wal$/;

/** Reads a log directory: a live one, or an export of one. */
export class PosixLogReader implements LogReader {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async readObject(path: string): Promise<Uint8Array> {
    // Parsing is what keeps `..` and absolute paths of a request away from the file system.
    parseTilePath(path);
    const bytes = await readFileIfAny(join(this.#directory, path));
    if (bytes === null) throw new TrustWardenError("not_found", { path });
    return bytes;
  }

  async readCheckpoint(): Promise<string | null> {
    const bytes = await readFileIfAny(join(this.#directory, "checkpoint"));
    return bytes === null ? null : parseUtf8(bytes);
  }
}

/** What the writer holds between `open` and `close`. */
interface Held {
  readonly lock: PosixLock;
  readonly temporary: string;
}

/** The writer of a log directory. Owns its lock and the open segment of the write-ahead log. */
export class PosixLogStorage implements LogStorage {
  readonly #directory: string;
  readonly #reader: PosixLogReader;
  #held: Held | null = null;
  #segment: { readonly file: PosixWalSegment; readonly name: string } | null = null;
  #hasFailed = false;
  #temporaries = 0;
  /** Directories known to exist durably. */
  readonly #directories = new Set<string>();

  /** @param directory - of the log; made when missing. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#reader = new PosixLogReader(directory);
  }

  async open(): Promise<void> {
    await makeDirectory(this.#directory);
    const lock = acquirePosixLock(join(this.#directory, "lock"));
    try {
      await makeDirectory(join(this.#directory, "wal"));
      this.#held = { lock, temporary: await makeTemporaryDirectory(this.#directory) };
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#segment?.file.close();
    this.#segment = null;
    this.#held?.lock.release();
    this.#held = null;
  }

  readObject(path: string): Promise<Uint8Array> {
    return this.#reader.readObject(path);
  }

  readCheckpoint(): Promise<string | null> {
    return this.#reader.readCheckpoint();
  }

  async appendWal(record: Uint8Array): Promise<void> {
    await this.#write(async () => {
      const { file } = this.#segment ?? (await this.#beginSegment());
      await file.append(record);
    });
  }

  async readWal(): Promise<readonly Uint8Array[]> {
    const names = await this.#segmentNames();
    return Promise.all(
      names.map(async (name) => (await readFileIfAny(this.#walPath(name))) ?? new Uint8Array(0)),
    );
  }

  async rotateWal(): Promise<void> {
    await this.#write(async () => {
      await this.#beginSegment();
    });
  }

  async trimWal(): Promise<void> {
    await this.#write(async () => {
      const old = (await this.#segmentNames()).filter((name) => name !== this.#segment?.name);
      // Oldest first, so that a crash on the way leaves no gap.
      for (const name of old) await unlink(this.#walPath(name));
      if (old.length > 0) await syncDirectory(join(this.#directory, "wal"));
    });
  }

  async writeObjects(objects: readonly LogObject[]): Promise<void> {
    await this.#write(async ({ temporary }) => {
      const parents = new Set(objects.map(({ path }) => dirname(join(this.#directory, path))));
      for (const parent of parents) await this.#requireDirectory(parent);
      const queue = objects.values();
      const workers = Array.from({ length: Math.min(PARALLEL_WRITES, objects.length) }, async () => {
        for (const { path, bytes } of queue) {
          parseTilePath(path);
          this.#temporaries += 1;
          const file = join(temporary, String(this.#temporaries));
          await writeOnce({ path: join(this.#directory, path), temporary: file, bytes });
        }
      });
      await Promise.all(workers);
      await Promise.all([...parents].map(syncDirectory));
    });
  }

  async removePartials(fullTilePaths: readonly string[]): Promise<void> {
    await this.#write(async () => {
      for (const path of fullTilePaths) {
        if (parseTilePath(path).width !== TILE_WIDTH)
          throw new Error("only full tiles have partial versions");
        const partials = join(this.#directory, `${path}.p`);
        this.#directories.delete(partials);
        await rm(partials, { recursive: true, force: true });
      }
    });
  }

  async readState(): Promise<LogState | null> {
    const bytes = await readFileIfAny(join(this.#directory, "state.json"));
    return bytes === null ? null : parseLogState(bytes);
  }

  async swapState(expected: LogState | null, next: LogState): Promise<void> {
    await this.#write(async ({ temporary }) => {
      const path = join(this.#directory, "state.json");
      const old = await readFileIfAny(path);
      const isExpected =
        expected === null || old === null ? expected === old : isEqualBytes(old, encodeLogState(expected));
      if (!isExpected)
        throw new TrustWardenError("ledger_corrupt", { reason: "state changed under the writer" });
      await replaceFile({ path, temporary: join(temporary, "state"), bytes: encodeLogState(next) });
    });
  }

  async publishCheckpoint(note: string): Promise<void> {
    await this.#write(async ({ temporary }) => {
      const path = join(this.#directory, "checkpoint");
      await replaceFile({ path, temporary: join(temporary, "checkpoint"), bytes: encodeUtf8(note) });
    });
  }

  async #write(work: (held: Held) => Promise<void>): Promise<void> {
    if (this.#held === null) throw new Error("the storage is not open for writing");
    if (this.#hasFailed)
      throw new TrustWardenError("store_unavailable", { reason: "an earlier write failed" });
    try {
      await work(this.#held);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  async #requireDirectory(path: string): Promise<void> {
    if (this.#directories.has(path)) return;
    await makeDirectory(path);
    this.#directories.add(path);
  }

  async #beginSegment(): Promise<{ readonly file: PosixWalSegment; readonly name: string }> {
    const last = (await this.#segmentNames()).at(-1);
    const name = `${String(Number(last?.slice(0, 12) ?? 0) + 1).padStart(12, "0")}.wal`;
    const file = await PosixWalSegment.create(this.#walPath(name));
    const previous = this.#segment;
    this.#segment = { file, name };
    await syncDirectory(join(this.#directory, "wal"));
    await previous?.file.close();
    return this.#segment;
  }

  async #segmentNames(): Promise<readonly string[]> {
    const names = await readdir(join(this.#directory, "wal"));
    return names.filter((name) => SEGMENT_NAME.test(name)).sort();
  }

  #walPath(name: string): string {
    return join(this.#directory, "wal", name);
  }
}
