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

/**
 * The mark in a file.
 *
 * @throws TrustWardenError `config_invalid` when the file would lie inside the data directory.
 */
export function createPosixHighWater({
  path,
  dataDirectory,
}: {
  readonly path: string;
  readonly dataDirectory: string;
}): HighWater {
  const inside = relative(realPathOf(resolve(dataDirectory)), realPathOf(resolve(path)));
  if (inside !== ".." && !inside.startsWith(`..${sep}`) && !isAbsolute(inside)) {
    throw new TrustWardenError("config_invalid", {
      reason: "the high-water mark lies inside the data directory",
    });
  }
  return new PosixHighWater(path);
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

/** Owns the file; raises one at a time, since ledger and revocation both raise. */
class PosixHighWater implements HighWater {
  readonly #path: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<HighWaterMark | null> {
    const bytes = await readFileIfAny(this.#path);
    return bytes === null ? null : parseHighWaterMark(bytes);
  }

  raise(raised: Parameters<HighWater["raise"]>[0]): Promise<void> {
    const done = this.#last.then(() => this.#raise(raised));
    // A failed raise is its caller's to handle; the next one reads the file afresh.
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #raise(raised: Parameters<HighWater["raise"]>[0]): Promise<void> {
    const old = await this.read();
    const bytes = encodeHighWaterMark(raiseMark(old, raised));
    if (old !== null && isEqualBytes(encodeHighWaterMark(old), bytes)) return;
    await makeDirectory(dirname(this.#path));
    await replaceFile({ path: this.#path, temporary: `${this.#path}.tmp`, bytes });
  }
}
