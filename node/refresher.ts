/**
 * Fetches the node's copies again when the feed says so, and now and then without being told.
 *
 * One fetch at a time; whatever is asked for while one runs is one more fetch after it. A failure is tried again with
 * jitter, so that a thousand nodes do not come back to a restarted server in the same moment.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, type Runtime } from "trustwarden/peer.ts";

/** Without a word from the feed; the feed is what makes changes quick. */
const REGULAR_MS = 300_000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;

/** Owns the timer and the fetch under way. */
export class Refresher {
  readonly #refresh: () => Promise<void>;
  readonly #runtime: Runtime;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #then: (() => Promise<void>)[] = [];
  #isAskedAgain = false;
  #failures = 0;
  #isClosed = false;

  constructor({ refresh, runtime }: { readonly refresh: () => Promise<void>; readonly runtime: Runtime }) {
    this.#refresh = refresh;
    this.#runtime = runtime;
  }

  /** Fetches now. @throws what the fetch throws. */
  async run(): Promise<void> {
    await this.#refresh();
    this.#scheduleIn(REGULAR_MS);
  }

  /** Fetches at once, or once more after the fetch under way. */
  soon(): void {
    if (this.#isClosed) return;
    if (this.#running !== undefined) {
      this.#isAskedAgain = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#running = this.#runInBackground().finally(() => {
      this.#running = undefined;
      if (this.#isAskedAgain) this.soon();
    });
  }

  /** The same, and then something that needs fresh copies. */
  soonThen(then: () => Promise<void>): void {
    this.#then.push(then);
    this.soon();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #runInBackground(): Promise<void> {
    this.#isAskedAgain = false;
    try {
      await this.#refresh();
      const after = this.#then;
      this.#then = [];
      for (const then of after) await then();
      this.#failures = 0;
      this.#scheduleIn(REGULAR_MS * (0.9 + 0.2 * jitter(this.#runtime)));
    } catch (error) {
      // Safe to go on: the copies at hand stay, and the server refuses whatever they are wrong about.
      const code = error instanceof TrustWardenError ? error.code : "internal";
      if (!this.#isClosed)
        this.#runtime.notify({
          code,
          what: "The node could not read entries or bundles again.",
          details: {},
        });
      const ceilingMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS);
      this.#failures += 1;
      this.#scheduleIn(ceilingMs * (0.5 + jitter(this.#runtime) / 2));
    }
  }

  #scheduleIn(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => this.soon(), delayMs);
    this.#timer.unref();
  }
}
