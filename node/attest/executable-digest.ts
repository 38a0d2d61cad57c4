/**
 * SHA-256 of a running program, from the inode that is running, on another thread.
 *
 * Digests are kept by inode, times and size: a program that runs cannot be written to, so the same key is the same
 * bytes. One program at a time is hashed, since a workload chooses how large its program is.
 */
import { type BigIntStats, closeSync, fstatSync, openSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Runtimes of languages are up to 150 MB. */
const MAX_EXECUTABLE_BYTES = 536_870_912n;
const MAX_KEPT = 1024;
const MAX_WAITING = 256;
const TIMEOUT_MS = 20_000;

/** Owns the digests and the one hash under way. */
export class ExecutableDigests {
  readonly #digests = new Map<string, Promise<string>>();
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /**
   * Hexadecimal digest of the program of a process; undefined when it may not be read, or is too large.
   *
   * @throws TrustWardenError `workload_unattested` when too many wait, or it takes too long.
   */
  async read(pid: number): Promise<string | undefined> {
    const fd = openExecutable(pid);
    if (fd === undefined) return undefined;
    try {
      const stats = fstatSync(fd, { bigint: true });
      if (!stats.isFile() || stats.size > MAX_EXECUTABLE_BYTES) return undefined;
      return await this.#digestOf(fd, keyOf(stats));
    } finally {
      closeSync(fd);
    }
  }

  #digestOf(fd: number, key: string): Promise<string> {
    const known = this.#digests.get(key);
    if (known !== undefined) return known;
    if (this.#waiting >= MAX_WAITING) throw new TrustWardenError("workload_unattested", { reason: "busy" });
    const digest = this.#inTurn(() => hashOnThread(fd));
    this.#digests.set(key, digest);
    digest.catch(() => this.#digests.delete(key));
    const [oldest] = this.#digests.keys();
    if (this.#digests.size > MAX_KEPT && oldest !== undefined) this.#digests.delete(oldest);
    return digest;
  }

  async #inTurn(hash: () => Promise<string>): Promise<string> {
    this.#waiting += 1;
    const before = this.#turn;
    const mine = Promise.withResolvers<void>();
    this.#turn = mine.promise;
    try {
      await before;
      return await hash();
    } finally {
      this.#waiting -= 1;
      mine.resolve();
    }
  }
}

/** Undefined for a program that we may not look at: then there is no such fact, and nothing asks for it in vain. */
function openExecutable(pid: number): number | undefined {
  try {
    return openSync(`/proc/${pid}/exe`, "r");
  } catch {
    // Safe: a missing fact matches nothing.
    return undefined;
  }
}

function keyOf({ dev, ino, mtimeNs, ctimeNs, size }: BigIntStats): string {
  return [dev, ino, mtimeNs, ctimeNs, size].join(":");
}

function hashOnThread(fd: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const worker = new Worker(new URL("./hash-worker.ts", import.meta.url), { workerData: fd });
  const failed = (cause: unknown): void =>
    reject(new TrustWardenError("workload_unattested", { reason: "digest" }, { cause }));
  const timer = setTimeout(() => failed("timeout"), TIMEOUT_MS);
  worker.once("message", (digest) => resolve(String(digest)));
  worker.once("error", failed);
  worker.once("exit", () => failed("ended"));
  worker.unref();
  return promise.finally(() => {
    clearTimeout(timer);
    return worker.terminate();
  });
}
