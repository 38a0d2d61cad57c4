/**
 * `LogStorage` and `HighWater` in memory, for tests and for trying the ledger out: the same promises, except that
 * nothing outlives the process.
 *
 * The medium is apart from the storage, so that a test can crash one storage and open another on what is left.
 */
import { encodeUtf8, isEqualBytes, parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { encodeLogState, parseLogState, raiseMark } from "./log-state.ts";
import type { HighWater, HighWaterMark, LogObject, LogState, LogStorage } from "./ports.ts";
import { CHECKPOINT_PATH } from "./tile.ts";

/** What a disk would hold. */
export interface MemoryMedium {
  /** Tiles, bundles and the published checkpoint by path. */
  readonly files: Map<string, Uint8Array>;
  wal: readonly Uint8Array[];
  state: Uint8Array | null;
  isLocked: boolean;
}

/** An empty medium. */
export function createMemoryMedium(): MemoryMedium {
  return { files: new Map(), wal: [], state: null, isLocked: false };
}

/** The in-memory adapter. Owns nothing but its hold on the medium's lock. */
export class MemoryLogStorage implements LogStorage {
  readonly #medium: MemoryMedium;

  constructor(medium: MemoryMedium = createMemoryMedium()) {
    this.#medium = medium;
  }

  async open(): Promise<void> {
    if (this.#medium.isLocked) throw new TrustWardenError("data_locked");
    this.#medium.isLocked = true;
  }

  async close(): Promise<void> {
    this.#medium.isLocked = false;
  }

  async appendWal(record: Uint8Array): Promise<void> {
    const segments = this.#medium.wal;
    const last = segments.at(-1) ?? new Uint8Array(0);
    const grown = new Uint8Array(last.length + record.length);
    grown.set(last);
    grown.set(record, last.length);
    this.#medium.wal = [...segments.slice(0, -1), grown];
  }

  async readWal(): Promise<readonly Uint8Array[]> {
    return this.#medium.wal;
  }

  async rotateWal(): Promise<void> {
    this.#medium.wal = [...this.#medium.wal, new Uint8Array(0)];
  }

  async trimWal(): Promise<void> {
    this.#medium.wal = this.#medium.wal.slice(-1);
  }

  async writeObjects(objects: readonly LogObject[]): Promise<void> {
    for (const { path, bytes } of objects) {
      const old = this.#medium.files.get(path);
      if (old !== undefined && !isEqualBytes(old, bytes)) {
        throw new TrustWardenError("ledger_corrupt", { path, reason: "published tile differs" });
      }
      this.#medium.files.set(path, bytes.slice());
    }
  }

  async removePartials(fullTilePaths: readonly string[]): Promise<void> {
    const prefixes = fullTilePaths.map((path) => `${path}.p/`);
    for (const path of [...this.#medium.files.keys()]) {
      if (prefixes.some((prefix) => path.startsWith(prefix))) this.#medium.files.delete(path);
    }
  }

  async readObject(path: string): Promise<Uint8Array> {
    const bytes = this.#medium.files.get(path);
    if (bytes === undefined) throw new TrustWardenError("not_found", { path });
    return bytes;
  }

  async readState(): Promise<LogState | null> {
    return this.#medium.state === null ? null : parseLogState(this.#medium.state);
  }

  async swapState(expected: LogState | null, next: LogState): Promise<void> {
    const { state } = this.#medium;
    const same =
      expected === null || state === null
        ? expected === state
        : isEqualBytes(state, encodeLogState(expected));
    if (!same) throw new TrustWardenError("ledger_corrupt", { reason: "state changed under the writer" });
    this.#medium.state = encodeLogState(next);
  }

  async publishCheckpoint(note: string): Promise<void> {
    this.#medium.files.set(CHECKPOINT_PATH, encodeUtf8(note));
  }

  async readCheckpoint(): Promise<string | null> {
    const bytes = this.#medium.files.get(CHECKPOINT_PATH);
    return bytes === undefined ? null : parseUtf8(bytes);
  }
}

/** The in-memory mark. */
export class MemoryHighWater implements HighWater {
  #mark: HighWaterMark | null = null;

  async read(): Promise<HighWaterMark | null> {
    return this.#mark;
  }

  async raise(raised: Parameters<HighWater["raise"]>[0]): Promise<void> {
    this.#mark = raiseMark(this.#mark, raised);
  }
}
