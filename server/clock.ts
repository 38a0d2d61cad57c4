/**
 * The clock of the server, and the floor under it.
 *
 * Wall time decides what has expired, so setting it back would bring the dead to life. The floor is the
 * latest instant that this deployment has signed; a wall clock clearly behind it is not believed for any decision.
 * Health and an operator's revocation never ask the floor: stopping works with any clock, from the admin socket. What an
 * owner or an agent signs has a time of its own, and nobody can check that with a clock that is wrong.
 */
import { performance } from "node:perf_hooks";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** How far the wall clock may step back (an NTP correction) before nothing that expires is decided any more. */
const MAX_STEP_BACK_MS = 30_000;

/** Two readings of time; injected, so that tests can move it. */
export interface Clock {
  /** Unix milliseconds. */
  nowMs(): number;
  /** Milliseconds that only rise, from an arbitrary start. */
  monoMs(): number;
}

/** The clock of the machine. */
export function createSystemClock(): Clock {
  return { nowMs: () => Date.now(), monoMs: () => performance.now() };
}

/** Owns the floor: it only rises, and only by instants that the server itself has signed. */
export class FlooredClock implements Clock {
  readonly #clock: Clock;
  #floorMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Unix milliseconds, whatever the floor; for records and for stopping. */
  nowMs(): number {
    return this.#clock.nowMs();
  }

  monoMs(): number {
    return this.#clock.monoMs();
  }

  /** Notes an instant that was signed. @param signedMs - Unix milliseconds. */
  raise(signedMs: number): void {
    this.#floorMs = Math.max(this.#floorMs, signedMs);
  }

  /**
   * Unix milliseconds that may decide whether something has expired.
   *
   * @throws TrustWardenError `clock_rolled_back`.
   */
  trustedMs(): number {
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#floorMs - MAX_STEP_BACK_MS) {
      throw new TrustWardenError("clock_rolled_back", { nowMs, floorMs: this.#floorMs });
    }
    return nowMs;
  }

  /** Unix seconds of `trustedMs`. @throws TrustWardenError `clock_rolled_back`. */
  trustedSeconds(): number {
    return Math.floor(this.trustedMs() / 1000);
  }
}
