/** Nonces that came with answers of the server, each for one proof of possession. */

/** Nonces last a minute, but not longer than the process of the server: after this another one is asked for. Milliseconds. */
const FRESH_MS = 1000;
/** A node issues a few at once. */
const MAX_HELD = 16;

/** Answers that an issuance is likely to follow bring its nonce along in this header. */
export const NONCE_HEADER = "trustwarden-nonce";

interface HeldNonce {
  readonly text: string;
  /** Monotonic. */
  readonly atMs: number;
  /** The connection that it came over; a server that was started anew has closed it, and does not know the nonce. */
  readonly connection: { readonly destroyed: boolean } | undefined;
}

/** Owns the nonces, oldest first, each until somebody takes it. */
export class HeldNonces {
  readonly #held: HeldNonce[] = [];

  /** Keeps what an answer brought, if it did. @param atMs - monotonic. */
  keep(text: unknown, atMs: number, connection?: HeldNonce["connection"]): void {
    if (typeof text !== "string") return;
    this.#held.push({ text, atMs, connection });
    if (this.#held.length > MAX_HELD) this.#held.shift();
  }

  /** One that is fresh, which is then gone; undefined when there is none. @param nowMs - monotonic. */
  take(nowMs: number): string | undefined {
    const newest = this.#held.pop();
    const isGood =
      newest !== undefined && nowMs - newest.atMs < FRESH_MS && newest.connection?.destroyed !== true;
    if (isGood) return newest.text;
    // The newest is stale, and so are all.
    this.#held.length = 0;
    return undefined;
  }
}
