/**
 * Evidence that was used, until it expires by itself. In memory: whoever issues claims `singleUse` in its transaction,
 * so that a restart does not make old evidence fresh.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { unavailable } from "./refusal.ts";

/** About 10 MB; a server that is asked more often refuses rather than forgets. */
const MAX_REMEMBERED = 100_000;

/** Lives as long as the server; an entry is there from its first use until it expires. */
export class SeenEvidence {
  readonly #expiryOf = new Map<string, number>();
  readonly #max: number;

  constructor(max = MAX_REMEMBERED) {
    this.#max = max;
  }

  /**
   * Uses the evidence up.
   *
   * @param nowSeconds - Unix seconds.
   * @throws TrustWardenError `attestation_replayed`, or `attestation_unavailable` when too much is remembered.
   */
  use({ id, expiresAt }: { readonly id: string; readonly expiresAt: number }, nowSeconds: number): void {
    if (this.#expiryOf.has(id)) throw new TrustWardenError("attestation_replayed");
    if (this.#expiryOf.size >= this.#max) this.#forgetBefore(nowSeconds);
    if (this.#expiryOf.size >= this.#max) throw unavailable("too much evidence is remembered");
    this.#expiryOf.set(id, expiresAt);
  }

  #forgetBefore(nowSeconds: number): void {
    for (const [id, expiresAt] of this.#expiryOf) if (expiresAt <= nowSeconds) this.#expiryOf.delete(id);
  }
}
