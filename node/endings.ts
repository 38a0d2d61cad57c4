/**
 * Tells the server of every instance whose process has ended, in order, and again until it has heard it.
 *
 * Bounded: what does not fit any more ends by the expiry of its SVID, and a person is told.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, type Runtime } from "trustwarden/peer.ts";
import type { Registry } from "./registry.ts";

const MAX_WAITING = 4096;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;
/** How long the last ones may take when the node stops. */
const CLOSE_MS = 2000;

/** Owns the endings that the server has not heard of. */
export class Endings {
  readonly #registry: Registry;
  readonly #runtime: Runtime;
  readonly #waiting = new Map<string, string>();
  #sending: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor({ registry, runtime }: { readonly registry: Registry; readonly runtime: Runtime }) {
    this.#registry = registry;
    this.#runtime = runtime;
  }

  add(instanceId: string, reason: string): void {
    if (this.#waiting.size >= MAX_WAITING) {
      const details = { instanceId };
      this.#runtime.notify({ code: "rate_limited", what: "An ended instance will only expire.", details });
      return;
    }
    this.#waiting.set(instanceId, reason);
    this.#start();
  }

  /** Waits a little for what is left. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#start();
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, CLOSE_MS);
    await Promise.race([this.#sending, limit.promise]);
    clearTimeout(timer);
    clearTimeout(this.#timer);
    this.#waiting.clear();
  }

  #start(): void {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  async #send(): Promise<void> {
    for (const [instanceId, reason] of this.#waiting) {
      if (!(await this.#tell(instanceId, reason))) return this.#retryLater();
      this.#waiting.delete(instanceId);
      this.#failures = 0;
    }
  }

  /** Whether it is settled: told, or refused for good, which means that the instance is no more. */
  async #tell(instanceId: string, reason: string): Promise<boolean> {
    try {
      await this.#registry.endInstance(instanceId, reason);
      return true;
    } catch (error) {
      // Safe: a refusal is an answer, and everything else is tried again.
      return error instanceof TrustWardenError && error.status < 500 && error.status !== 429;
    }
  }

  #retryLater(): void {
    const ceilingMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#start(), ceilingMs * (0.5 + jitter(this.#runtime) / 2));
    this.#timer.unref();
  }
}
