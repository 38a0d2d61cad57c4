/**
 * How often one account may have something issued: every issuance is signed, written durably and kept in the ledger, so a
 * process in a loop would otherwise fill it, and hold up everybody else's.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Reconnecting programs and requests for tokens come in bursts. */
const BURST = 200;
const PER_SECOND = 20;
/** Accounts that were idle for long are forgotten beyond this. */
const MAX_ACCOUNTS = 1024;

/** Owns what each account may still have. */
export class AccountRates {
  readonly #byUid = new Map<number, { left: number; atMs: number }>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** Takes a number of issuances. @throws TrustWardenError `rate_limited`, and then nothing is taken. */
  take(uid: number, count: number): void {
    const atMs = this.#monotonicMs();
    const before = this.#byUid.get(uid) ?? { left: BURST, atMs };
    const left = Math.min(BURST, before.left + ((atMs - before.atMs) / 1000) * PER_SECOND) - count;
    if (left < 0) throw new TrustWardenError("rate_limited", { uid });
    // Deleted first, so that the map stays in the order of use.
    this.#byUid.delete(uid);
    this.#byUid.set(uid, { left, atMs });
    const [oldest] = this.#byUid.keys();
    if (this.#byUid.size > MAX_ACCOUNTS && oldest !== undefined) this.#byUid.delete(oldest);
  }
}
