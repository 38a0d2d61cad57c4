/**
 * `HighWater` in one small file outside the data directory.
 *
 * It must not be on the backup plan of the data: whoever restores an old copy of the data would restore the mark with
 * it, and the log would sign a second history.
 */
import { realpathSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import {
  encodeHighWaterMark,
  parseHighWaterMark,
  raiseMark,
} from "@trustwarden/core/agentledger/log-state.ts";
import type { HighWater, HighWaterMark } from "@trustwarden/core/agentledger/ports.ts";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isFileError, makeDirectory, readFileIfAny, replaceFile } from "./posix-log-files.ts";

/** Where a mark is, and the directory that it must not lie in. */
export interface HighWaterPlace {
  readonly path: string;
  readonly dataDirectory: string;
}

/**
 * The mark in a file.
 *
 * @throws TrustWardenError `config_invalid` when the file would lie inside the data directory.
 */
export function createPosixHighWater({ path, dataDirectory }: HighWaterPlace): HighWater {
  const inside = relative(realPathOf(resolve(dataDirectory)), realPathOf(resolve(path)));
  if (inside !== ".." && !inside.startsWith(`..${sep}`) && !isAbsolute(inside)) {
    throw new TrustWardenError("config_invalid", {
      reason: "the high-water mark lies inside the data directory",
    });
  }
  return new PosixHighWater(path);
}

/**
 * Puts another mark in the place of the old one, which stays beside it. For a restore that begins another log, and for nothing else.
 *
 * @throws TrustWardenError `config_invalid` as `createPosixHighWater`.
 */
export async function replacePosixHighWater(place: HighWaterPlace, mark: HighWaterMark): Promise<void> {
  const { path } = place;
  const old = await readFileIfAny(path);
  createPosixHighWater(place);
  await makeDirectory(dirname(path));
  if (old !== null)
    await replaceFile({ path: `${path}.before-restore`, temporary: `${path}.tmp`, bytes: old });
  await replaceFile({ path, temporary: `${path}.tmp`, bytes: encodeHighWaterMark(mark) });
}

/** The path without symbolic links, as far as it exists: another name of the directory is still the directory. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (!isFileError(error, "ENOENT") || path === dirname(path)) throw error;
    return join(realPathOf(dirname(path)), basename(path));
  }
}

/** One call that waits for the file. */
interface Waiting {
  readonly raised: Parameters<HighWater["raise"]>[0];
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Owns the file; one write at a time, since ledger and revocation both raise. Whatever comes while one is on its way to
 * the disk goes with the next, so that a hundred changes at once do not queue up behind a hundred writes.
 */
class PosixHighWater implements HighWater {
  readonly #path: string;
  #waiting: Waiting[] = [];
  #working: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<HighWaterMark | null> {
    const bytes = await readFileIfAny(this.#path);
    return bytes === null ? null : parseHighWaterMark(bytes);
  }

  raise(raised: Waiting["raised"]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ raised, resolve, reject });
    this.#working ??= this.#work();
    return promise;
  }

  /** Never rejects: whoever waits is told. */
  async #work(): Promise<void> {
    for (;;) {
      const together = this.#waiting;
      this.#waiting = [];
      try {
        await this.#raise(together);
      } catch (error) {
        // A failed write is its callers' to handle; the next one reads the file afresh.
        for (const { reject } of together) reject(error);
      }
      if (this.#waiting.length > 0) continue;
      this.#working = undefined;
      return;
    }
  }

  async #raise(together: readonly Waiting[]): Promise<void> {
    const old = await this.read();
    let mark = old;
    const done: Waiting[] = [];
    for (const waiting of together) {
      try {
        mark = raiseMark(mark, waiting.raised);
        done.push(waiting);
      } catch (error) {
        // What contradicts the mark is refused by itself; what came with it is not to blame.
        waiting.reject(error);
      }
    }
    if (mark !== null) await this.#write(old, mark);
    for (const { resolve } of done) resolve();
  }

  async #write(old: HighWaterMark | null, mark: HighWaterMark): Promise<void> {
    const bytes = encodeHighWaterMark(mark);
    if (old !== null && isEqualBytes(encodeHighWaterMark(old), bytes)) return;
    await makeDirectory(dirname(this.#path));
    await replaceFile({ path: this.#path, temporary: `${this.#path}.tmp`, bytes });
  }
}
