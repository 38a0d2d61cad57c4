/**
 * Outcomes that the server has not confirmed yet.
 *
 * The decision is already durable, so a lost outcome hides nothing that was done; it leaves an open end that the
 * ledger shows. The spool keeps trying, in memory, and when it is full nothing new is done at all: a service that
 * cannot tell what came of its visits stops receiving them.
 */
import { MAX_OUTCOMES } from "@trustwarden/core/api/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, type Runtime } from "./runtime.ts";
import { retryAfterOf } from "./server-answer.ts";

/** About 1 MiB of envelopes. */
const MAX_WAITING = 1024;
const FIRST_RETRY_MS = 250;
/**
 * How long an outcome whose answer has left waits for others. A request of its own would cost both ends more than the
 * outcome itself, and its flush, and all of that at the very moment when the next visit comes.
 */
const GATHER_MS = 25;
const MAX_RETRY_MS = 10_000;
/** Refusals that no repetition changes. */
const FINAL_STATUSES: readonly number[] = [400, 401, 403, 409, 413];

/** One signed outcome, as text. Sending the same text again is idempotent. */
export type SignedOutcome = string;

/** Outcomes that will leave in one request. */
interface Gathering {
  readonly outcomes: SignedOutcome[];
  /** When they are confirmed or kept. */
  readonly sent: Promise<void>;
  /** Takes no more; they leave. */
  readonly end: () => void;
}

/** Sends outcomes, now if possible and later if not. */
export class OutcomeSpool {
  readonly #send: (outcomes: readonly SignedOutcome[]) => Promise<void>;
  readonly #runtime: Runtime;
  /** Not confirmed, oldest first. */
  readonly #waiting: SignedOutcome[] = [];
  /** What leaves together next, with room for more. Whoever brought one still holds its place. */
  #gathering: Gathering | undefined;
  /** What left together last; it may have arrived long ago. */
  #leaving: Promise<void> = Promise.resolve();
  /** Visits that were let in and have not reported: each has a place. */
  #reserved = 0;
  #retry: NodeJS.Timeout | undefined;
  /** First tries under way. */
  readonly #reporting = new Set<Promise<void>>();
  #failures = 0;
  /** What the server asked for when it turned the last request away. */
  #retryAfterMs = 0;
  #closed = false;
  /** The one walk over `#waiting`; a second one beside it would drop what the first is sending. */
  #draining: Promise<void> | undefined;

  constructor(options: {
    /** All of them or none. */
    readonly send: (outcomes: readonly SignedOutcome[]) => Promise<void>;
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
  report(outcome: SignedOutcome): Promise<void> {
    return this.#track(this.#reportOnce(outcome));
  }

  /**
   * `report` for work whose answer has left: together with all that come within a moment, and while the one before is on its
   * way, so that a service makes few requests and never one in the way of the next visit.
   */
  reportSoon(outcome: SignedOutcome): Promise<void> {
    if (this.#closed) return this.report(outcome);
    this.#gathering ??= this.#gather();
    const { outcomes, sent, end } = this.#gathering;
    outcomes.push(outcome);
    if (outcomes.length >= MAX_OUTCOMES) end();
    return sent;
  }

  /** Waits for what is under way, tries everything once more, oldest first, and gives up what is left, loudly. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#gathering?.end();
    await Promise.all(this.#reporting);
    await this.#draining;
    await this.#drain();
    if (this.#waiting.length === 0) return;
    const details = { lost: this.#waiting.length };
    this.#runtime.notify({ code: "ledger_unavailable", what: "Outcomes could not be reported.", details });
  }

  async #track(reporting: Promise<void>): Promise<void> {
    this.#reporting.add(reporting);
    await reporting;
    this.#reporting.delete(reporting);
  }

  #gather(): Gathering {
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const outcomes: SignedOutcome[] = [];
    const before = this.#leaving;
    const moment = setTimeout(() => void before.then(end), GATHER_MS);
    const end = (): void => {
      clearTimeout(moment);
      if (this.#gathering?.outcomes === outcomes) this.#gathering = undefined;
      resolve();
    };
    const sent = this.#track(ended.then(() => this.#reportTogether(outcomes)));
    this.#leaving = sent;
    return { outcomes, end, sent };
  }

  /**
   * Never rejects. What is refused together is reported one by one, so that one bad outcome spoils no other; what only
   * cannot leave now is kept together, since many requests are the last thing that a busy server needs.
   */
  async #reportTogether(outcomes: readonly SignedOutcome[]): Promise<void> {
    const sent = outcomes.length > 1 ? await this.#trySending(outcomes) : "refused";
    if (sent === "sent") return;
    if (sent === "later") {
      this.#waiting.push(...outcomes);
      this.#schedule();
      return;
    }
    for (const outcome of outcomes) await this.#reportOnce(outcome);
  }

  /** Never rejects: what fails is kept or reported. */
  async #reportOnce(outcome: SignedOutcome): Promise<void> {
    try {
      await this.#send([outcome]);
    } catch (error) {
      this.#notify(error);
      if (isFinal(error)) return;
      this.#waiting.push(outcome);
      this.#schedule();
    }
  }

  #schedule(): void {
    if (this.#closed || this.#retry !== undefined) return;
    const backoffMs =
      Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS) * (0.5 + jitter(this.#runtime));
    // Never before it was asked for, and not together with all others who were turned away.
    const delayMs = Math.max(backoffMs, this.#retryAfterMs * (1 + jitter(this.#runtime)));
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
    while (this.#waiting.length > 0) {
      const together = this.#waiting.slice(0, MAX_OUTCOMES);
      const sent = together.length > 1 ? await this.#trySending(together) : "refused";
      // One by one they show which of them is refused, and why.
      const isOver = sent === "refused" ? await this.#sendFirst(together.length) : sent === "sent";
      if (!isOver) return;
      if (sent === "sent") this.#waiting.splice(0, together.length);
    }
  }

  async #trySending(outcomes: readonly SignedOutcome[]): Promise<"sent" | "refused" | "later"> {
    try {
      await this.#send(outcomes);
      this.#succeeded();
      return "sent";
    } catch (error) {
      if (isFinal(error)) return "refused";
      this.#notify(error);
      return "later";
    }
  }

  /** Sends the first ones, each by itself. @returns whether all of them are settled. */
  async #sendFirst(count: number): Promise<boolean> {
    for (let done = 0; done < count; done += 1) {
      const [next] = this.#waiting;
      if (next === undefined) return true;
      try {
        await this.#send([next]);
        this.#succeeded();
      } catch (error) {
        this.#notify(error);
        if (!isFinal(error)) return false;
      }
      this.#waiting.shift();
    }
    return true;
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#retryAfterMs = 0;
  }

  #notify(error: unknown): void {
    this.#retryAfterMs = (retryAfterOf(error) ?? 0) * 1000;
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
