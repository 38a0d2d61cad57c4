/**
 * When an SVID is renewed: at half life, or sooner where a short outage of the server would outlast what is left of it.
 *
 * @see docs/decisions/0106-a-node-outlasts-a-short-outage.md
 */
import { jitter, type Runtime } from "./runtime.ts";

/** A server is away for five minutes, and the next try comes within half a minute. */
const OUTAGE_MS = 330_000;

/**
 * The age at which an SVID is due.
 *
 * One that lives for hardly longer than an outage is not renewed all the time: a third of its life at the earliest.
 */
export function renewalAgeMs(lifeMs: number): number {
  return Math.max(Math.min(lifeMs / 2, lifeMs - OUTAGE_MS), lifeMs / 3);
}

/** How long a new SVID is left alone. Early by up to a tenth, so that a thousand of one start do not come back at once. */
export function renewalDelayMs(lifeMs: number, runtime: Runtime): number {
  return renewalAgeMs(lifeMs) * (1 - 0.1 * jitter(runtime));
}
