/**
 * Outcomes that the server has not confirmed yet.
 *
 * The decision is already durable, so a lost outcome hides nothing that was done; it leaves an open end that the
 * ledger shows. The spool keeps trying, in memory, and when it is full nothing new is done at all: a service that
 * cannot tell what came of its visits stops receiving them.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, type Runtime } from "./runtime.ts";

/** About 1 MiB of envelopes. */
const MAX_WAITING = 1024;
const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 10_000;
/** Refusals that no repetition changes. */
const FINAL_STATUSES: readonly number[] = [400, 401, 403, 409, 413];

/** One signed outcome, as text. Sending the same text again is idempotent. */
export type SignedOutcome = string;

/** Sends outcomes, now if possible and later if not. */
export class OutcomeSpool {
  readonly #send: (outcome: SignedOutcome) => Promise<void>;
  readonly #runtime: Runtime;
  /** Not confirmed, oldest first. */
  readonly #waiting: SignedOutcome[] = [];
  /** Visits that were let in and have not reported: each has a place. */
  #reserved = 0;
  #retry: NodeJS.Timeout | undefined;
  /** First tries under way. */
  readonly #reporting = new Set<Promise<void>>();
  #failures = 0;
  #closed = false;
  /** The one walk over `#waiting`; a second one beside it would drop what the first is sending. */
  #draining: Promise<void> | undefined;

  constructor(options: {
    readonly send: (outcome: SignedOutcome) => Promise<void>;
    readonly runtime: Runtime;
  }) {
    this.#send = options.send;
    this.#runtime = options.runtime;
  }

  /** How many outcomes are not confirmed. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * Takes a place for one visit before anything is done; give it back with the returned function.
   *
   * @throws TrustWardenError `ledger_unavailable` when there is none.
   */
  reserve(): () => void {
    if (this.#waiting.length + this.#reserved >= MAX_WAITING) {
      throw new TrustWardenError("ledger_unavailable", {
        reason: "outcomes wait",
        waiting: this.#waiting.length,
      });
    }
    this.#reserved += 1;
    let isHeld = true;
    return () => {
      if (isHeld) this.#reserved -= 1;
      isHeld = false;
    };
  }

  /** Sends an outcome; resolves when it is confirmed, or kept for another try. */
  async report(outcome: SignedOutcome): Promise<void> {
    const reporting = this.#reportOnce(outcome);
    this.#reporting.add(reporting);
    await reporting;
    this.#reporting.delete(reporting);
  }

  /** Waits for what is under way, tries everything once more, oldest first, and gives up what is left, loudly. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await Promise.all(this.#reporting);
    await this.#draining;
    await this.#drain();
    if (this.#waiting.length === 0) return;
    const details = { lost: this.#waiting.length };
    this.#runtime.notify({ code: "ledger_unavailable", what: "Outcomes could not be reported.", details });
  }

  /** Never rejects: what fails is kept or reported. */
  async #reportOnce(outcome: SignedOutcome): Promise<void> {
    try {
      await this.#send(outcome);
    } catch (error) {
      this.#notify(error);
      if (isFinal(error)) return;
      this.#waiting.push(outcome);
      this.#schedule();
    }
  }

  #schedule(): void {
    if (this.#closed || this.#retry !== undefined) return;
    const delayMs =
      Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS) * (0.5 + jitter(this.#runtime));
    this.#failures += 1;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      void this.#drain().then(() => {
        if (this.#waiting.length > 0) this.#schedule();
      });
    }, delayMs);
    this.#retry.unref();
  }

  #drain(): Promise<void> {
    this.#draining ??= this.#sendWaiting().finally(() => {
      this.#draining = undefined;
    });
    return this.#draining;
  }

  /** Never rejects: what fails stays at the front. */
  async #sendWaiting(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        await this.#send(next);
        this.#failures = 0;
      } catch (error) {
        this.#notify(error);
        if (!isFinal(error)) return;
      }
      this.#waiting.shift();
    }
  }

  #notify(error: unknown): void {
    const code = error instanceof TrustWardenError ? error.code : "internal";
    const details = { waiting: this.#waiting.length, final: isFinal(error) };
    this.#runtime.notify({ code, what: "An outcome could not be reported.", details });
  }
}

/** The server answered and will answer the same again. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof TrustWardenError &&
    error.details.from === "server" &&
    FINAL_STATUSES.includes(Number(error.details.status))
  );
}
