/**
 * What revocation needs from outside: the readings of two clocks, and the kept targets.
 *
 * Pure types. Times are always arguments, so that a model test can drift, freeze and jump them.
 */
import type { RevocationTarget } from "./frames.ts";

/** One reading of both clocks of a process, taken together. */
export interface Instant {
  /** Milliseconds that only rise while the process runs; on most systems they stand still while it is suspended. */
  readonly monotonicMs: number;
  /** Unix milliseconds; they count a suspension, and may be set back. */
  readonly wallMs: number;
}

/** The clocks of a verifier. */
export interface LeaseClock {
  now(): Instant;
}

/** The durable revocations, as the feed reads them. */
export interface RevocationSource {
  /** The latest epoch. */
  epoch(): number;
  /** Everything revoked, narrowed or tightened after an epoch, in order. */
  targetsSince(epoch: number): readonly (RevocationTarget & { readonly epoch: number })[];
}
