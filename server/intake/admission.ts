/**
 * How much may be on its way into the ledger at once: what would have to wait too long is refused before it costs
 * anything, and whoever floods leaves room for everybody else.
 *
 * A flow may hold as much as it leaves free (dynamic thresholds, Choudhury and Hahne): alone it gets half of all places, beside
 * another that floods a third, and there is always room for one that comes new.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** What is refused now fits when a second's work is done. */
const RETRY_AFTER_SECONDS = 1;

/** Owns the places. Whatever was let in holds its places until it is answered. */
export class Admission {
  /** Records that may be on their way, of all flows together. */
  readonly places: number;
  readonly #held = new Map<string, number>();
  #total = 0;

  /** @param places - records that may be on their way, of all flows together. */
  constructor(places: number) {
    this.places = places;
  }

  /** Records on their way. */
  get held(): number {
    return this.#total;
  }

  /**
   * Takes places for the records of one request; give them back, once, with the returned function.
   *
   * @param flow - whoever proved itself: an instance.
   * @throws TrustWardenError `overloaded` with `retryAfterSeconds`; nothing is taken then.
   */
  enter(flow: string, records: number): () => void {
    const held = this.#held.get(flow) ?? 0;
    const free = this.places - this.#total;
    // A request that is alone and larger than everything would else never be let in.
    const isFirst = this.#total === 0;
    if (!isFirst && held + records > free - records) {
      throw new TrustWardenError("overloaded", { held, free, retryAfterSeconds: RETRY_AFTER_SECONDS });
    }
    this.#add(flow, records);
    let isInside = true;
    return () => {
      if (isInside) this.#add(flow, -records);
      isInside = false;
    };
  }

  #add(flow: string, records: number): void {
    const held = (this.#held.get(flow) ?? 0) + records;
    if (held === 0) this.#held.delete(flow);
    else this.#held.set(flow, held);
    this.#total += records;
  }
}
