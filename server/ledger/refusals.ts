/**
 * Evidence of who was turned away, without letting whoever is turned away fill the disk.
 *
 * Each refused caller of a mutating route leaves one `refuse` event, as long as its peer, and all peers together, stay
 * under a rate. What is dropped above it is counted, and the count itself is recorded once a second.
 */
import type { JsonObject } from "@trustwarden/core/json.ts";

/** Events per peer and second; a person who mistypes never gets there. */
const PER_PEER_PER_SECOND = 10;
/** Events of all peers per second; a thousand a minute is 1 MB. */
const TOTAL_PER_SECOND = 50;
const WINDOW_MS = 1000;

/** One refusal before authentication was complete. */
export interface Refusal {
  /** SPIFFE ID of a proven socket, or `unauthenticated`. */
  readonly principal: string;
  readonly peer: string;
  readonly code: string;
  readonly details: JsonObject;
}

/** Writes one refuse event. */
export type WriteRefusal = (refusal: Refusal) => Promise<void>;

/** Owns the counts of the running window; between windows all dropped refusals are counted in the ledger. */
export class Refusals {
  readonly #write: WriteRefusal;
  readonly #monoMs: () => number;
  #windowStartMs: number;
  #total = 0;
  #dropped = 0;
  readonly #perPeer = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { readonly write: WriteRefusal; readonly monoMs: () => number }) {
    this.#write = options.write;
    this.#monoMs = options.monoMs;
    this.#windowStartMs = options.monoMs();
  }

  /** Records a refusal, or counts it when the rate is used up. Durable on return unless it was counted. */
  async record(refusal: Refusal): Promise<void> {
    await this.#roll();
    const count = (this.#perPeer.get(refusal.peer) ?? 0) + 1;
    if (count > PER_PEER_PER_SECOND || this.#total >= TOTAL_PER_SECOND) {
      this.#dropped += 1;
      this.#timer ??= setTimeout(() => void this.#onTimer(), WINDOW_MS).unref();
      return;
    }
    this.#perPeer.set(refusal.peer, count);
    this.#total += 1;
    await this.#write(refusal);
  }

  /** Records the count of what was dropped last. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writeDropped();
  }

  async #onTimer(): Promise<void> {
    this.#timer = undefined;
    await this.#roll();
  }

  async #roll(): Promise<void> {
    const nowMs = this.#monoMs();
    if (nowMs - this.#windowStartMs < WINDOW_MS) return;
    this.#windowStartMs = nowMs;
    this.#total = 0;
    this.#perPeer.clear();
    await this.#writeDropped();
  }

  async #writeDropped(): Promise<void> {
    const dropped = this.#dropped;
    if (dropped === 0) return;
    this.#dropped = 0;
    await this.#write({
      principal: "unauthenticated",
      peer: "many",
      code: "rate_limited",
      details: { dropped },
    });
  }
}
