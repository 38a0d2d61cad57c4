/** The server's end of the index's thread: tasks go out in order, each is answered or the thread is gone. */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { threadEnvironment } from "../thread-environment.ts";
import type { IndexProgress } from "./ledger-index.ts";
import type {
  FromIndex,
  IndexReply,
  IndexRequest,
  IndexTask,
  IndexThreadData,
} from "./ledger-index-protocol.ts";

/** A task on its way; the thread answers each with its own type of value. */
interface Waiting {
  settle(reply: IndexReply): void;
}

/** Owns the worker. Every task that is not answered is in `#waiting` and is settled exactly once. */
export class IndexThread {
  /** How far the file had come when it was opened. */
  readonly ready: Promise<IndexProgress>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  readonly #onLost: (error: unknown) => void;
  #nextId = 1;
  #state: "open" | "closing" | "gone" = "open";

  constructor(data: IndexThreadData, onLost: (error: unknown) => void) {
    const file = `./ledger-index-thread${extname(fileURLToPath(import.meta.url))}`;
    this.#onLost = onLost;
    const place = new URL(file, import.meta.url);
    this.#worker = new Worker(place, { name: "ledger-index", workerData: data, env: threadEnvironment() });
    const ready = Promise.withResolvers<IndexProgress>();
    const exited = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#exited = exited.promise;
    // Whoever awaits it gets the rejection; nobody may, when the start fails for another reason.
    ready.promise.catch(() => undefined);
    this.#worker.on("message", (message: FromIndex) => {
      if (message.kind === "ready") ready.resolve(message.progress);
      else this.#settle(message);
    });
    this.#worker.on("error", (cause) => this.#lose(cause));
    this.#worker.on("exit", () => {
      this.#lose(unavailable("the index is gone"));
      ready.reject(unavailable("the index is gone"));
      exited.resolve();
    });
  }

  /** Whether tasks are refused from now on. */
  get isGone(): boolean {
    return this.#state !== "open";
  }

  /** Does one task behind all before it. @throws TrustWardenError `store_unavailable`, or the task's own refusal. */
  run<T>(task: IndexTask): Promise<T> {
    if (this.isGone) return Promise.reject(unavailable("the index is gone"));
    return this.#post<T>(task);
  }

  /** Finishes what waits, closes the file and ends the thread. */
  async close(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "closing";
      // A thread that ends by itself meanwhile is closed as well.
      await this.#post<void>({ kind: "close" }).catch(() => undefined);
    }
    await this.#exited;
  }

  #post<T>(task: IndexTask): Promise<T> {
    const id = this.#nextId;
    this.#nextId += 1;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiting = {
      settle(reply: IndexReply<T>): void {
        if (reply.kind === "done") resolve(reply.value);
        else reject(new TrustWardenError(reply.code, reply.details));
      },
    };
    this.#waiting.set(id, waiting);
    const request: IndexRequest = { ...task, id };
    this.#worker.postMessage(request, memoryOf(task));
    return promise;
  }

  #settle(reply: IndexReply): void {
    this.#waiting.get(reply.id)?.settle(reply);
    this.#waiting.delete(reply.id);
  }

  #lose(cause: unknown): void {
    const wasOpen = this.#state === "open";
    this.#state = "gone";
    const details = { reason: "the index is gone" };
    for (const [id, waiting] of this.#waiting) {
      waiting.settle({ kind: "refused", id, code: "store_unavailable", details });
    }
    this.#waiting.clear();
    if (wasOpen) this.#onLost(cause);
  }
}

/** What changes hands with a task instead of being copied. */
function memoryOf(task: IndexTask): ArrayBuffer[] {
  return task.kind === "add" ? [task.entries.bytes.buffer, task.entries.ends.buffer] : [];
}

function unavailable(reason: string): TrustWardenError {
  return new TrustWardenError("store_unavailable", { reason });
}
