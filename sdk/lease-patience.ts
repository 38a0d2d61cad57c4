/**
 * How long a lease waits: for a connection that is silent, for a place that does not answer, and before it comes again.
 *
 * Whoever gives a lease and has too much to do is helped by nobody who leaves: a new connection costs it as much as a hundred
 * beats. So a connection that is only late is kept, others are asked beside it after a while that is another one for each
 * verifier, beats become rarer while nobody answers them, and whatever was in vain makes all of it longer (decision 0100). None of
 * this decides whether anything is allowed: without an echo the lease runs out by itself.
 */
import { BEAT_MS, LEASE_MS } from "@trustwarden/core/revocation/frames.ts";

/** Silence for which another place is asked: from this to twice as long. */
const SILENCE_MS = 2 * LEASE_MS;
/** So many beats without an answer at least: a process that was suspended has sent none. */
const UNANSWERED_BEATS = 3;
/** From connecting to the answer to the upgrade. A crowded listener lets handshakes in at its pace, and whoever leaves comes last. */
const UPGRADE_MS = 5_000;
/** Both are doubled by each try in vain, to eight times as long. */
const MAX_DOUBLINGS = 3;
/** The first retry comes soon, since the lease of before may still bridge it. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 2_000;
/** Whatever a server asks for, nobody waits longer than this and as much again, drawn by each for itself. */
const MAX_RETRY_AFTER_MS = 60_000;
/** Without trouble for so long, everything is as in the beginning. */
const CALM_MS = 10_000;
/** Of the silence so far, until the next beat into it. */
const PROBE_PART = 4;
const MAX_PROBE_MS = 4_000;

/** Owns what went wrong lately. Times are monotonic milliseconds. */
export class LeasePatience {
  readonly #beatMs: number;
  /** From 0 to 1. */
  readonly #jitter: () => number;
  #failures = 0;
  #troubleMs = Number.NEGATIVE_INFINITY;
  #heardMs = 0;
  #unanswered = 0;
  /** No other place is asked before this. */
  #askAtMs = 0;
  #silenceMs = SILENCE_MS;

  constructor(options: { readonly jitter: () => number; readonly beatMs?: number | undefined }) {
    this.#jitter = options.jitter;
    this.#beatMs = options.beatMs ?? BEAT_MS;
  }

  /** How long one try may take. */
  get upgradeMs(): number {
    return UPGRADE_MS * this.#factor;
  }

  /** A connection begins. */
  begin(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#unanswered = 0;
    this.#draw(nowMs);
  }

  /** Something came on the connection. @returns whether it came so late that there may be no lease any more. */
  hear(nowMs: number): boolean {
    const isLate = nowMs - this.#heardMs >= LEASE_MS;
    this.#heardMs = nowMs;
    this.#unanswered = 0;
    this.#askAtMs = nowMs + this.#silenceMs;
    if (isLate) this.#troubleMs = nowMs;
    else if (this.#failures > 0 && nowMs - this.#troubleMs >= CALM_MS) {
      this.#failures = 0;
      this.#draw(nowMs);
    }
    return isLate;
  }

  /** It is time for a beat. */
  beat(): void {
    this.#unanswered += 1;
  }

  /** Until the next beat. */
  nextBeatMs(nowMs: number): number {
    const silentMs = nowMs - this.#heardMs;
    if (silentMs < LEASE_MS) return this.#beatMs;
    return Math.max(this.#beatMs, Math.min(silentMs / PROBE_PART, MAX_PROBE_MS));
  }

  /** Whether the connection is silent for so long that another place is asked beside it. */
  isOver(nowMs: number): boolean {
    return nowMs >= this.#askAtMs && this.#unanswered >= UNANSWERED_BEATS;
  }

  /**
   * A connection ended, or a try for one.
   *
   * @param afterMs - what the server asked for.
   * @returns how long to wait before the next try.
   */
  fail(nowMs: number, afterMs = 0): number {
    const ceilingMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS);
    this.#failures += 1;
    this.#troubleMs = nowMs;
    this.#draw(nowMs);
    const askedForMs = Math.min(afterMs, MAX_RETRY_AFTER_MS);
    return askedForMs + Math.max(ceilingMs, askedForMs) * this.#jitter();
  }

  get #factor(): number {
    return 2 ** Math.min(this.#failures, MAX_DOUBLINGS);
  }

  #draw(nowMs: number): void {
    this.#silenceMs = SILENCE_MS * this.#factor * (1 + this.#jitter());
    this.#askAtMs = nowMs + this.#silenceMs;
  }
}
