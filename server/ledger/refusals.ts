/**
 * Evidence of who was turned away, without letting whoever is turned away fill the disk.
 *
 * Each refused caller of a mutating route leaves one `refuse` event, as long as its peer, and all peers together, have
 * not used up their allowance. What is dropped beyond it is counted, and the count itself is recorded. Proven callers
 * that ask for too much are only ever counted, each by its name: their refusal must not wait for the ledger.
 */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { TokenBuckets } from "../intake/token-bucket.ts";

/** Refusals in a row, and each second after that. A person who mistypes stays below; a day of flood is 0.4 GB. */
const PEER_ALLOWANCE = { burst: 60, perSecond: 5 } as const;
/** All peers together. */
const TOTAL_ALLOWANCE = { burst: 300, perSecond: 25 } as const;
/** Peers remembered; beyond it whoever was not seen for longest is forgotten, and the total still holds. */
const MAX_PEERS = 10_000;
/** Callers counted by name at a time, so that counts are no more than refusals may be; the others are `many`. */
const MAX_COUNTED = 24;
/** How often the count of what was dropped is recorded while a flood lasts. */
const COUNT_EVERY_MS = 1000;
const EVERYBODY = { principal: "unauthenticated", peer: "many" } as const;

/** One refusal before authentication was complete, or of what nothing else bounds. */
export interface Refusal {
  /** SPIFFE ID of a proven socket, or `unauthenticated`. */
  readonly principal: string;
  readonly peer: string;
  readonly code: string;
  readonly details: JsonObject;
  /** What was asked about, of a caller that is proven. */
  readonly subject?: string;
  /** Of that caller, as records have it. */
  readonly chain?: readonly string[];
}

/** Requests that were turned away and are only counted. */
interface TurnedAway {
  readonly principal: string;
  readonly peer: string;
  readonly code: string;
}

/** Owns the allowances. Every refusal is in the ledger, or in the count that `close` or the timer records. */
export class Refusals {
  readonly #write: (refusal: Refusal) => Promise<void>;
  readonly #monoMs: () => number;
  readonly #onError: (error: unknown) => void;
  readonly #total = new TokenBuckets(TOTAL_ALLOWANCE, 1);
  readonly #peers = new TokenBuckets(PEER_ALLOWANCE, MAX_PEERS);
  readonly #proven = new TokenBuckets(PEER_ALLOWANCE, MAX_PEERS);
  /** How many were turned away since the last count, by who and why. */
  #counts = new Map<string, { readonly of: TurnedAway; dropped: number }>();
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
  }

  /** Records a refusal, or counts it when the allowance is used up. Durable on return unless it was counted. */
  async record(refusal: Refusal): Promise<void> {
    const nowMs = this.#monoMs();
    const isWithin = this.#peers.take(refusal.peer, nowMs) && this.#total.take("all", nowMs);
    if (isWithin) await this.#write(refusal);
    else this.count({ ...EVERYBODY, code: "rate_limited" });
  }

  /**
   * Whether a proven caller whom no rate bounds may leave one more refusal of its own; if not, it is counted under its name.
   */
  mayRecord(refused: TurnedAway): boolean {
    const nowMs = this.#monoMs();
    if (this.#proven.take(refused.principal, nowMs) && this.#total.take("all", nowMs)) return true;
    this.count(refused);
    return false;
  }

  /** Counts a request that was turned away before anything was done for it; the count is recorded within a second. */
  count({ principal, peer, code }: TurnedAway): void {
    const isKnown = this.#counts.has(`${code} ${principal} ${peer}`);
    const of =
      isKnown || this.#counts.size < MAX_COUNTED ? { principal, peer, code } : { ...EVERYBODY, code };
    const name = `${of.code} ${of.principal} ${of.peer}`;
    const count = this.#counts.get(name) ?? { of, dropped: 0 };
    count.dropped += 1;
    this.#counts.set(name, count);
    this.#timer ??= setTimeout(() => void this.#onTimer(), COUNT_EVERY_MS).unref();
  }

  /** Records the last count. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writeDropped();
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
    const counts = this.#counts;
    this.#counts = new Map();
    await Promise.all(
      [...counts.values()].map(({ of, dropped }) => this.#write({ ...of, details: { dropped } })),
    );
  }
}
