/**
 * How many requests the one thread can have on its way at once and still come round in time: as many as it did lately.
 *
 * The thread that answers requests also beats for every lease and takes every stop, so the time it takes to come round
 * is what bounds both; and whatever waits for its turn in it longer than this is answered when nobody waits any more. When the
 * thread or a turn comes late, fewer requests are let in than were on their way; when they come in time and
 * somebody was refused, a few more (additive increase, multiplicative decrease).
 */

/** Often enough to notice before a lease of 700 ms ends. */
const LOOK_EVERY_MS = 50;
/** However late it is, so much is let in: who shares a machine with others must still get on. */
const FLOOR = 64;
const DECREASE = 0.7;
const INCREASE = 1.05;

/** Owns the timer and the number. */
export class Pace {
  readonly #most: number;
  readonly #delayMs: number;
  readonly #monoMs: () => number;
  readonly #timer: NodeJS.Timeout;
  #limit: number;
  #peak = 0;
  #longestWaitMs = 0;
  #isRefusing = false;
  #lookedMs: number;

  /**
   * @param options.most - requests at once, however quick they are.
   * @param options.delayMs - later than this, or when a turn waits longer, the thread has too much to do.
   */
  constructor(options: {
    readonly most: number;
    readonly delayMs: number;
    readonly monoMs: () => number;
  }) {
    this.#most = options.most;
    this.#delayMs = options.delayMs;
    this.#monoMs = options.monoMs;
    this.#limit = options.most;
    this.#lookedMs = options.monoMs();
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS).unref();
  }

  /** Requests that may be on their way now. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** Notes how many are on their way. */
  noteHeld(held: number): void {
    if (held > this.#peak) this.#peak = held;
  }

  /** Notes how long a request waited for its turn. */
  noteWaited(waitedMs: number): void {
    if (waitedMs > this.#longestWaitMs) this.#longestWaitMs = waitedMs;
  }

  /** Notes that somebody was refused. */
  noteRefused(): void {
    this.#isRefusing = true;
  }

  /** Compares the time that passed with the time that should have, and what waits with what may. */
  look(): void {
    const nowMs = this.#monoMs();
    const lateMs = Math.max(nowMs - this.#lookedMs - LOOK_EVERY_MS, this.#longestWaitMs);
    const floor = Math.min(FLOOR, this.#most);
    if (lateMs > this.#delayMs) {
      this.#limit = Math.max(floor, Math.min(this.#limit, this.#peak) * DECREASE);
    } else if (lateMs < this.#delayMs / 2 || !this.#isRefusing) {
      this.#limit = Math.min(this.#most, this.#limit * INCREASE + (this.#isRefusing ? 0 : 1));
    }
    this.#lookedMs = nowMs;
    this.#peak = 0;
    this.#longestWaitMs = 0;
    this.#isRefusing = false;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
