/**
 * The instants at which renewals of one host fall due, so that they can be asked for together.
 *
 * A renewal comes earlier by less than a step, and never later. Each host has its own instants: else all hosts would ask in one
 * moment.
 *
 * @see docs/decisions/0122-renewals-together.md
 */
import { jitter, type Runtime } from "trustwarden/peer.ts";

/** An hour's SVIDs, due after about half of it: a thousand of them on a host are 17 in each step. */
const STEP_MS = 30_000;
/** Of SVIDs that live for ten minutes or so: a hundredth of that. */
const SHORT_STEP_MS = 5_000;
const SHORT_LIFE_MS = 1_200_000;

/** Rounds delays down to the instants of one host. */
export class RenewalGrid {
  readonly #runtime: Runtime;
  readonly #phase: number;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#phase = jitter(runtime);
  }

  /** The delay until the last instant before a renewal would be due; the delay itself where none comes before. */
  align(delayMs: number, lifeMs: number): number {
    const stepMs = lifeMs > SHORT_LIFE_MS ? STEP_MS : SHORT_STEP_MS;
    const nowMs = this.#runtime.monotonicMs();
    const dueMs = nowMs + delayMs;
    const instantMs = (Math.floor(dueMs / stepMs - this.#phase) + this.#phase) * stepMs;
    return instantMs > nowMs ? instantMs - nowMs : delayMs;
  }
}
