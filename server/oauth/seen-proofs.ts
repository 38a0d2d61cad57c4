/**
 * Which proofs of possession were shown already: the memory that makes each of them count once.
 *
 * A proof is remembered by its key and its `jti`, never by its text: an ECDSA signature has a second spelling. After a
 * restart nothing is remembered by a server alone; servers that share a store claim each proof there, after their own memory.
 * What comes with a nonce of ours is void after a restart; a client attestation has none, and counts once more within its
 * minute. What it buys is bound to the key of its own WIT-SVID.
 */
import { MAX_PROOF_AGE_SECONDS } from "@trustwarden/core/dpop.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { REFUSALS, type UseKind, type Uses } from "../shared/uses.ts";

/** Past its age a proof is refused anyway; the rest is for a clock ahead of ours, and a margin. */
const REMEMBER_SECONDS = MAX_PROOF_AGE_SECONDS + 60;
/** Old entries are dropped a few at a time, so that no request pays for all. */
const FORGET_PER_CLAIM = 4;
/** About 150 bytes each; beyond that somebody is flooding, and refusing is safe while forgetting is not. */
const MAX_REMEMBERED = 500_000;

/** Owns the set. Between calls every claimed proof that would still verify is in it. */
export class SeenProofs {
  readonly #seen = new Map<string, number>();
  readonly #kind: UseKind;
  readonly #uses: Uses;

  /** @param kind - of the proofs, which says what one that was shown before is refused with. */
  constructor(kind: UseKind, uses: Uses) {
    this.#kind = kind;
    this.#uses = uses;
  }

  /**
   * Claims a proof for this request.
   *
   * @param now - Unix seconds.
   * @throws TrustWardenError the code of the kind, `rate_limited` when more proofs are in use than fit, `store_unavailable`.
   */
  async claim(
    { thumbprint, jti }: { readonly thumbprint: string; readonly jti: string },
    now: number,
  ): Promise<void> {
    this.#forget(now);
    const key = `${thumbprint} ${jti}`;
    if (this.#seen.has(key)) throw new TrustWardenError(REFUSALS[this.#kind]);
    if (this.#seen.size >= MAX_REMEMBERED) throw new TrustWardenError("rate_limited");
    const forgetAt = now + REMEMBER_SECONDS;
    this.#seen.set(key, forgetAt);
    await this.#uses.claim({ kind: this.#kind, name: key, forgetAt }, now);
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
