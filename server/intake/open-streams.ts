/**
 * How many streams one principal may have open: a stream costs little each moment but for as long as it is open, so
 * nobody opens them without end.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** A person's browser opens one a page; several pages, and what a reload leaves behind for a moment. */
const MOST_OF_ONE = 8;
const MOST = 512;
const RETRY_AFTER_SECONDS = 5;

/** Owns the counts. */
export class OpenStreams {
  readonly #open = new Map<string, number>();
  #total = 0;

  /**
   * Counts a stream as open, until the returned function is called.
   *
   * @throws TrustWardenError `overloaded`.
   */
  enter(principal: string): () => void {
    if ((this.#open.get(principal) ?? 0) >= MOST_OF_ONE || this.#total >= MOST)
      throw new TrustWardenError("overloaded", { principal, retryAfterSeconds: RETRY_AFTER_SECONDS });
    this.#add(principal, 1);
    let isOpen = true;
    return () => {
      if (isOpen) this.#add(principal, -1);
      isOpen = false;
    };
  }

  #add(principal: string, count: number): void {
    const open = (this.#open.get(principal) ?? 0) + count;
    if (open === 0) this.#open.delete(principal);
    else this.#open.set(principal, open);
    this.#total += count;
  }
}
