/**
 * The clock, the randomness and the voice of this process: the only place in the SDK that reads them.
 *
 * Everything else takes a `Runtime`, so that a test can set the time and repeat a random choice.
 */
import { randomBytes } from "node:crypto";
import type { ErrorCode, ErrorDetails } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";

/** Something a person should hear about although no caller is waiting for it; never holds a secret. */
export interface Notice {
  readonly code: ErrorCode;
  readonly what: string;
  readonly details: ErrorDetails;
}

/** What the SDK needs from the machine it runs on. */
export interface Runtime {
  /** Wall clock, Unix milliseconds. */
  readonly nowMs: () => number;
  /** A clock that only rises, in milliseconds; its zero means nothing. */
  readonly monotonicMs: () => number;
  /** Cryptographically secure. */
  readonly random: Random;
  /** Hears what went wrong in the background: a failed renewal, an outcome that could not be reported. */
  readonly notify: (notice: Notice) => void;
}

/** The real machine; notices become process warnings, which Node writes to standard error. */
export const systemRuntime: Runtime = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: (length) => new Uint8Array(randomBytes(length)),
  notify: ({ code, what, details }) =>
    process.emitWarning(`${what} ${JSON.stringify(details)}`, { type: "TrustWarden", code }),
};

/** Wall clock in Unix seconds, as certificates and intents count. */
export function nowSeconds(runtime: Runtime): number {
  return Math.floor(runtime.nowMs() / 1000);
}

/** A random number from 0 to 1, for jitter only. */
export function jitter(runtime: Runtime): number {
  const [first = 0, second = 0] = runtime.random(2);
  return (first * 256 + second) / 65_535;
}
