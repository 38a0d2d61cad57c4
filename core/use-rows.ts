/** Where it is kept what was used once, by whichever of several servers: intents, nonces, requests of owners. */

/** A use as the store is asked for it. */
export interface ClaimedUse {
  readonly kind: string;
  readonly name: string;
  readonly mark: string;
  /** How long the store remembers it. */
  readonly seconds: number;
}

/** What the store keeps of uses. */
export interface UseRows {
  /**
   * Durable on return.
   *
   * @returns those that somebody had claimed before, with their marks.
   * @throws TrustWardenError `store_unavailable`: nobody knows whether they were claimed.
   */
  claim(uses: readonly ClaimedUse[]): Promise<readonly Omit<ClaimedUse, "seconds">[]>;
}
