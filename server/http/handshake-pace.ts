/**
 * How many handshakes a listener begins in a stretch of time: as many as leave its thread on time.
 *
 * Late is late, whoever took the time: this thread's own handshakes, or another process on the same processors. So ten relays
 * and everybody who comes to them share a machine without knowing of one another: additive increase, multiplicative decrease.
 */

/** Short beside a lease, and long beside a handshake. */
export const STRETCH_MS = 50;
/** Later than this, and beats are late too. */
const LATE_MS = 25;
/** 640 a second, which is more than one thread can do. */
const MOST = 32;
/** 20 a second, however late: who waits must come in at some time. */
const LEAST_EACH_STRETCH = 1;
const DECREASE = 0.5;

/** Owns the number. */
export class HandshakePace {
  readonly #least: number;
  #each = MOST;
  #left = MOST;

  /** @param least - in each stretch, however late. */
  constructor(least = LEAST_EACH_STRETCH) {
    this.#least = least;
  }

  /** Whether one more may begin in this stretch. */
  get hasRoom(): boolean {
    return this.#left > 0;
  }

  /** One begins. */
  take(): void {
    this.#left -= 1;
  }

  /** Begins the next stretch. @param tookMs - from the beginning of the one before. */
  next(tookMs: number): void {
    const isLate = tookMs - STRETCH_MS > LATE_MS;
    const fewer = Math.max(this.#least, Math.floor(this.#each * DECREASE));
    this.#each = isLate ? fewer : Math.min(MOST, this.#each + 1);
    this.#left = this.#each;
  }
}
