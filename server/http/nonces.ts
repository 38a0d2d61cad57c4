/**
 * Single-use nonces for proofs of possession.
 *
 * Handing one out costs no memory, so asking for millions displaces nobody's: a nonce carries its own expiry under a
 * MAC, and only those that were spent are remembered, until they expire. A restart makes a new MAC key and so voids
 * what is outstanding. Servers that share a store have one key, and claim there what is spent.
 */
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { hmacSha256, isEqualSecret } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";

/** Long enough to make a key and sign, short enough that a recorded proof is stale. */
const NONCE_SECONDS = 60;
const RANDOM_BYTES = 12;
const EXPIRY_BYTES = 4;
const MAC_BYTES = 16;
const BODY_BYTES = RANDOM_BYTES + EXPIRY_BYTES;

/** Owns the MAC key and the set of spent nonces; every spent nonce stays in the set until it has expired. */
export class Nonces {
  readonly #random: Random;
  readonly #key: Uint8Array;
  readonly #spent = new Map<string, number>();

  /** @param key - of the MAC, where several servers take each other's nonces; one of its own unless given. */
  constructor(random: Random, key = random(32)) {
    this.#random = random;
    this.#key = key;
  }

  /** A fresh nonce. @param now - Unix seconds. */
  issue(now: number): { readonly nonce: string; readonly expiresAt: number } {
    const expiresAt = now + NONCE_SECONDS;
    const body = new Uint8Array(BODY_BYTES);
    body.set(this.#random(RANDOM_BYTES));
    new DataView(body.buffer).setUint32(RANDOM_BYTES, expiresAt);
    const nonce = new Uint8Array(BODY_BYTES + MAC_BYTES);
    nonce.set(body);
    nonce.set(this.#macOf(body), BODY_BYTES);
    return { nonce: encodeBase64url(nonce), expiresAt };
  }

  /**
   * Takes a nonce that this process made; at most once each.
   *
   * @param now - Unix seconds.
   * @throws TrustWardenError `nonce_invalid`.
   */
  spend(nonce: string, now: number): { readonly expiresAt: number } {
    const expiresAt = this.#verify(nonce, now);
    this.#forgetBefore(now);
    if (this.#spent.has(nonce)) refuse("spent");
    this.#spent.set(nonce, expiresAt);
    return { expiresAt };
  }

  /** Whether this process made a nonce within the last minute; for proofs that are told apart by their own names. */
  isFresh(nonce: string, now: number): boolean {
    try {
      this.#verify(nonce, now);
      return true;
    } catch (error) {
      // Safe to go on: no is the answer to whatever is not a nonce of ours.
      if (error instanceof TrustWardenError) return false;
      throw error;
    }
  }

  /** When a nonce of ours ends, Unix seconds. */
  #verify(nonce: string, now: number): number {
    const bytes = parseBase64url(nonce);
    if (bytes.length !== BODY_BYTES + MAC_BYTES) refuse("length");
    const body = bytes.slice(0, BODY_BYTES);
    if (!isEqualSecret(this.#macOf(body), bytes.slice(BODY_BYTES))) refuse("not ours");
    const expiresAt = new DataView(body.buffer).getUint32(RANDOM_BYTES);
    if (now >= expiresAt) refuse("expired");
    return expiresAt;
  }

  #macOf(body: Uint8Array): Uint8Array {
    return hmacSha256(this.#key, body).slice(0, MAC_BYTES);
  }

  /** The map is in order of spending, and so nearly in order of expiry: what is left over goes a little later. */
  #forgetBefore(now: number): void {
    for (const [nonce, expiresAt] of this.#spent) {
      if (now < expiresAt) return;
      this.#spent.delete(nonce);
    }
  }
}

function refuse(reason: string): never {
  throw new TrustWardenError("nonce_invalid", { reason });
}
