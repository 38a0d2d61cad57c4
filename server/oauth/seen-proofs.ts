/**
 * Which proofs of possession were shown already: the memory that makes each of them count once.
 *
 * A proof is remembered by its key and its `jti`, never by its text: an ECDSA signature has a second spelling. After a
 * restart nothing is remembered. What comes with a nonce of ours is void then; a client attestation has none, and counts
 * once more within its minute. What it buys is bound to the key of its own WIT-SVID.
 */
import { MAX_PROOF_AGE_SECONDS } from "@trustwarden/core/dpop.ts";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";

/** Past its age a proof is refused anyway; the rest is for a clock ahead of ours, and a margin. */
const REMEMBER_SECONDS = MAX_PROOF_AGE_SECONDS + 60;
/** Old entries are dropped a few at a time, so that no request pays for all. */
const FORGET_PER_CLAIM = 4;
/** About 150 bytes each; beyond that somebody is flooding, and refusing is safe while forgetting is not. */
const MAX_REMEMBERED = 500_000;

/** Owns the set. Between calls every claimed proof that would still verify is in it. */
export class SeenProofs {
  readonly #seen = new Map<string, number>();
  readonly #code: ErrorCode;

  /** @param code - of the refusal of a proof that was shown before. */
  constructor(code: ErrorCode) {
    this.#code = code;
  }

  /**
   * Claims a proof for this request.
   *
   * @param now - Unix seconds.
   * @throws TrustWardenError the code of the set, or `rate_limited` when more proofs are in use than fit.
   */
  claim({ thumbprint, jti }: { readonly thumbprint: string; readonly jti: string }, now: number): void {
    this.#forget(now);
    const key = `${thumbprint} ${jti}`;
    if (this.#seen.has(key)) throw new TrustWardenError(this.#code);
    if (this.#seen.size >= MAX_REMEMBERED) throw new TrustWardenError("rate_limited");
    this.#seen.set(key, now + REMEMBER_SECONDS);
  }

  /** The map is in order of claiming, and so of forgetting. */
  #forget(now: number): void {
    let looked = 0;
    for (const [key, forgetAt] of this.#seen) {
      if (looked === FORGET_PER_CLAIM || now < forgetAt) return;
      looked += 1;
      this.#seen.delete(key);
    }
  }
}
