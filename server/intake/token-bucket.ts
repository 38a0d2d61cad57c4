/** Token buckets: so many at once, and so many a second after that. */

/** What somebody may have. */
export interface Allowance {
  /** At once. */
  readonly burst: number;
  readonly perSecond: number;
}

interface Bucket {
  left: number;
  atMs: number;
}

/** Owns the bucket of each name. What a bucket has left was right at its last use; it fills by itself. */
export class TokenBuckets {
  readonly #allowance: Allowance;
  readonly #maxNames: number;
  readonly #buckets = new Map<string, Bucket>();

  /** @param maxNames - remembered; beyond it whoever has not asked for longest is forgotten and begins anew, full. */
  constructor(allowance: Allowance, maxNames: number) {
    this.#allowance = allowance;
    this.#maxNames = maxNames;
  }

  /** Takes one token if there is one. @param nowMs - monotonic. */
  take(name: string, nowMs: number): boolean {
    const bucket = this.#fill(name, nowMs);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

  /** Seconds until there is a token; 0 when there is one. @param nowMs - monotonic. */
  secondsUntilToken(name: string, nowMs: number): number {
    const { left } = this.#fill(name, nowMs);
    return Math.max(0, (1 - left) / this.#allowance.perSecond);
  }

  #fill(name: string, nowMs: number): Bucket {
    const { burst, perSecond } = this.#allowance;
    const bucket = this.#buckets.get(name) ?? this.#create(nowMs);
    bucket.left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    // Last in the map, so that whoever asks on is never the one that is forgotten.
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    return bucket;
  }

  #create(nowMs: number): Bucket {
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= this.#maxNames && oldest !== undefined) this.#buckets.delete(oldest);
    return { left: this.#allowance.burst, atMs: nowMs };
  }
}
