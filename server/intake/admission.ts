/**
 * How much may be on its way at once: what would have to wait too long is refused before it costs anything, and whoever
 * floods leaves room for everybody else.
 *
 * A flow may hold as much as it leaves free (dynamic thresholds, Choudhury and Hahne): alone it gets half of all places, beside
 * another that floods a third, and there is always room for one that comes new. Flows may lie within one another, an
 * owner's agents within the owner: then each holds as much as its owner has left.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** What is refused now fits when a second's work is done. */
export const RETRY_AFTER_SECONDS = 1;

/** Owns the places. Whatever was let in holds its places until it is answered. */
export class Admission {
  readonly #places: () => number;
  readonly #held = new Map<string, number>();
  #total = 0;

  /** @param places - that may be held at once, by all flows together; a function where that changes. */
  constructor(places: number | (() => number)) {
    this.#places = typeof places === "number" ? () => places : places;
  }

  /** How many may be held, of all flows together. */
  get places(): number {
    return this.#places();
  }

  /** How many are held. */
  get held(): number {
    return this.#total;
  }

  /**
   * Takes places; give them back, once, with the returned function.
   *
   * @param flow - whoever proved itself: an instance; or the flows that it lies within, widest first.
   * @throws TrustWardenError `overloaded` with `retryAfterSeconds`; nothing is taken then.
   */
  enter(flow: string | readonly string[], places: number): () => void {
    const leave = this.tryEnter(flow, places);
    if (leave !== undefined) return leave;
    const free = this.places - this.#total;
    throw new TrustWardenError("overloaded", { free, retryAfterSeconds: RETRY_AFTER_SECONDS });
  }

  /** As `enter`; undefined instead of a throw, for those whose refusal says something else. */
  tryEnter(flow: string | readonly string[], places: number): (() => void) | undefined {
    const names = typeof flow === "string" ? [flow] : namesOf(flow);
    // A request that is alone and larger than everything would else never be let in.
    if (this.#total > 0 && !this.#hasRoom(names, places)) return undefined;
    this.#add(names, places);
    let isInside = true;
    return () => {
      if (isInside) this.#add(names, -places);
      isInside = false;
    };
  }

  #hasRoom(names: readonly string[], places: number): boolean {
    let room = this.places - this.#total - places;
    for (const name of names) {
      const held = this.#held.get(name) ?? 0;
      if (held + places > room) return false;
      room -= held;
    }
    return true;
  }

  #add(names: readonly string[], places: number): void {
    for (const name of names) {
      const held = (this.#held.get(name) ?? 0) + places;
      if (held === 0) this.#held.delete(name);
      else this.#held.set(name, held);
    }
    this.#total += places;
  }
}

/** Two owners may have agents of one name. */
function namesOf(flow: readonly string[]): readonly string[] {
  return flow.map((_name, index) => flow.slice(0, index + 1).join(" "));
}
