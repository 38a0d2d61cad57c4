/**
 * Evidence of who was turned away, without letting whoever is turned away fill the disk.
 *
 * Each refused caller of a mutating route leaves one `refuse` event, as long as its peer, and all peers together, have
 * not used up their allowance. What is dropped beyond it is counted, and the count itself is recorded.
 */
import type { JsonObject } from "@trustwarden/core/json.ts";

/** Refusals in a row, and each second after that. A person who mistypes stays below; a day of flood is 0.4 GB. */
const PEER_ALLOWANCE = { burst: 60, perSecond: 5 } as const;
/** All peers together. */
const TOTAL_ALLOWANCE = { burst: 300, perSecond: 25 } as const;
/** Peers remembered; beyond it the longest known is forgotten, and the total still holds. */
const MAX_PEERS = 10_000;
/** How often the count of what was dropped is recorded while a flood lasts. */
const COUNT_EVERY_MS = 1000;

/** One refusal before authentication was complete. */
export interface Refusal {
  /** SPIFFE ID of a proven socket, or `unauthenticated`. */
  readonly principal: string;
  readonly peer: string;
  readonly code: string;
  readonly details: JsonObject;
}

interface Allowance {
  readonly burst: number;
  readonly perSecond: number;
}

interface Bucket {
  left: number;
  atMs: number;
}

/** Owns the allowances. Every refusal is in the ledger, or in the count that `close` or the timer records. */
export class Refusals {
  readonly #write: (refusal: Refusal) => Promise<void>;
  readonly #monoMs: () => number;
  readonly #onError: (error: unknown) => void;
  readonly #total: Bucket;
  readonly #peers = new Map<string, Bucket>();
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param options.write - makes one `refuse` event durable.
   * @param options.onError - told when the count of dropped refusals could not be recorded.
   */
  constructor(options: {
    readonly write: (refusal: Refusal) => Promise<void>;
    readonly monoMs: () => number;
    readonly onError: (error: unknown) => void;
  }) {
    this.#write = options.write;
    this.#monoMs = options.monoMs;
    this.#onError = options.onError;
    this.#total = { left: TOTAL_ALLOWANCE.burst, atMs: options.monoMs() };
  }

  /** Records a refusal, or counts it when the allowance is used up. Durable on return unless it was counted. */
  async record(refusal: Refusal): Promise<void> {
    const nowMs = this.#monoMs();
    const isWithin =
      take(this.#peer(refusal.peer, nowMs), PEER_ALLOWANCE, nowMs) &&
      take(this.#total, TOTAL_ALLOWANCE, nowMs);
    if (isWithin) {
      await this.#write(refusal);
      return;
    }
    this.#dropped += 1;
    this.#timer ??= setTimeout(() => void this.#onTimer(), COUNT_EVERY_MS).unref();
  }

  /** Records the last count. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writeDropped();
  }

  #peer(peer: string, nowMs: number): Bucket {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const [oldest] = this.#peers.keys();
    if (this.#peers.size >= MAX_PEERS && oldest !== undefined) this.#peers.delete(oldest);
    const bucket = { left: PEER_ALLOWANCE.burst, atMs: nowMs };
    this.#peers.set(peer, bucket);
    return bucket;
  }

  async #onTimer(): Promise<void> {
    this.#timer = undefined;
    try {
      await this.#writeDropped();
    } catch (error) {
      this.#onError(error);
    }
  }

  async #writeDropped(): Promise<void> {
    const dropped = this.#dropped;
    if (dropped === 0) return;
    this.#dropped = 0;
    const details = { dropped };
    await this.#write({ principal: "unauthenticated", peer: "many", code: "rate_limited", details });
  }
}

function take(bucket: Bucket, { burst, perSecond }: Allowance, nowMs: number): boolean {
  bucket.left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
  bucket.atMs = nowMs;
  if (bucket.left < 1) return false;
  bucket.left -= 1;
  return true;
}
