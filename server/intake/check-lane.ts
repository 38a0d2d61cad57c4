/** Where batches of signatures are checked: in a thread of their own, or, without one, in this. */

import { extname } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { threadEnvironment } from "../thread-environment.ts";
import { checkSignatures, KeyCache, packChecks, type SignatureCheck } from "./signature-check.ts";

/** Checks one batch at a time or a few, in order. */
export interface CheckLane {
  /** Verdicts in the order of the checks. Rejects when the lane is lost; then nothing is known of them. */
  run(checks: readonly SignatureCheck[]): Promise<readonly boolean[]>;
  close(): Promise<void>;
}

/** This thread, between whatever else it has to do. */
export function createOwnLane(keys: KeyCache = new KeyCache()): CheckLane {
  return {
    run: async (checks) => {
      await setImmediate();
      return checkSignatures(checks, keys);
    },
    close: async () => undefined,
  };
}

/** A thread. @param onLost - told once when it ended by itself. */
export function createThreadLane(onLost: (error: unknown) => void): CheckLane {
  const file = `./check-thread${extname(fileURLToPath(import.meta.url))}`;
  const place = new URL(file, import.meta.url);
  const worker = new Worker(place, { name: "signatures", env: threadEnvironment() });
  return new ThreadLane(worker, onLost);
}

interface Waiting {
  readonly count: number;
  readonly resolve: (verdicts: readonly boolean[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Owns a worker. Each batch that is not answered is in `#waiting`, in the order in which they were sent. */
class ThreadLane implements CheckLane {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #end: Error | undefined;

  constructor(worker: Worker, onLost: (error: unknown) => void) {
    this.#worker = worker;
    worker.on("message", (verdicts: Uint8Array) => this.#answer(verdicts));
    let cause: unknown;
    worker.on("error", (error) => {
      cause = error;
    });
    worker.on("exit", () => {
      const wasClosed = this.#end !== undefined;
      this.#end ??= new Error("a thread that checks signatures has ended", { cause });
      for (const { reject } of this.#waiting.splice(0)) reject(this.#end);
      if (!wasClosed) onLost(this.#end);
    });
    // The process may end while it waits for work.
    worker.unref();
  }

  run(checks: readonly SignatureCheck[]): Promise<readonly boolean[]> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const batch = packChecks(checks);
      this.#waiting.push({ count: checks.length, resolve, reject });
      this.#worker.postMessage(batch, [batch.bytes.buffer, batch.places.buffer]);
    });
  }

  async close(): Promise<void> {
    this.#end = new Error("closed");
    await this.#worker.terminate();
  }

  #answer(verdicts: Uint8Array): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) throw new Error("a thread answers what it was asked");
    // Only a 1 at its place is a good signature; whatever is missing is none.
    waiting.resolve(Array.from({ length: waiting.count }, (_, index) => verdicts[index] === 1));
  }
}
