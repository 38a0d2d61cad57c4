/**
 * The instances whose stop a relay heard of: the latest of them. Whoever is forgotten here is on the server's list, which has
 * to be read before anybody new is served.
 */

/** Owns two sets; between calls every instance that was added and not forgotten is in one of them. */
export class HeardStops {
  readonly #atLeast: number;
  #latest = new Set<string>();
  #before: ReadonlySet<string> = new Set();

  /** @param atLeast - so many of the latest are remembered, and no more than twice as many. */
  constructor(atLeast: number) {
    this.#atLeast = atLeast;
  }

  has(instanceId: string): boolean {
    return this.#latest.has(instanceId) || this.#before.has(instanceId);
  }

  /** @returns whether others were forgotten for it. */
  add(instanceId: string): boolean {
    if (this.has(instanceId)) return false;
    const isFull = this.#latest.size >= this.#atLeast;
    const isForgetting = isFull && this.#before.size > 0;
    if (isFull) {
      this.#before = this.#latest;
      this.#latest = new Set();
    }
    this.#latest.add(instanceId);
    return isForgetting;
  }
}
