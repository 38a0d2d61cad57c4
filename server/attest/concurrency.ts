/** Bounds how much is under way at once, where each piece of evidence causes a call to somebody else's API. */
import { unavailable } from "./refusal.ts";

/** More are refused, so that a flood of evidence is not passed on. */
const MAX_CONCURRENT = 16;

/** Runs work, or refuses it. @throws TrustWardenError `attestation_unavailable`. */
export type Limit = <Value>(work: () => Promise<Value>) => Promise<Value>;

/** A bound of its own for one attestor. */
export function createLimit(max = MAX_CONCURRENT): Limit {
  let running = 0;
  return async (work) => {
    if (running >= max) throw unavailable("too many calls under way");
    running += 1;
    try {
      return await work();
    } finally {
      running -= 1;
    }
  };
}
