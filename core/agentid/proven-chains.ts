/**
 * Certificate chains that were proven before: proving one costs a millisecond, and an agent shows the same for an hour.
 *
 * Only the proof is remembered, never that somebody is alive: validity is compared for every question, and liveness is
 * asked of the store. A chain that was refused is not remembered.
 */
import { concatBytes, encodeBase64url } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import type { TrustBundle } from "./trust-bundle.ts";
import { verifyX509Svid, type X509Svid } from "./x509-svid.ts";

/** A few kilobytes each. */
const MAX_CHAINS = 10_000;

interface Proven {
  readonly svid: X509Svid;
  /** Unix seconds between which every certificate shown is valid. */
  readonly validFrom: number;
  readonly validUntil: number;
}

/** Owns the memory of one bundle; what it holds was proven against exactly that bundle. */
export class ProvenChains {
  readonly #bundles: ReadonlyMap<TrustBundle["trustDomain"], TrustBundle>;
  readonly #proven = new Map<string, Proven>();

  constructor(bundle: TrustBundle) {
    this.#bundles = new Map([[bundle.trustDomain, bundle]]);
  }

  /**
   * The SVID of a chain, proven now or before.
   *
   * @param chainDer - leaf first.
   * @param now - Unix seconds.
   * @throws TrustWardenError as `verifyX509Svid`.
   */
  verify(chainDer: readonly Uint8Array[], now: number): X509Svid {
    const key = encodeBase64url(sha256(concatBytes(...chainDer.map(sha256))));
    const known = this.#proven.get(key);
    if (known !== undefined && now >= known.validFrom && now < known.validUntil) return known.svid;
    const svid = verifyX509Svid(chainDer, this.#bundles, now);
    this.#remember(key, svid);
    return svid;
  }

  #remember(key: string, svid: X509Svid): void {
    this.#proven.set(key, {
      svid,
      validFrom: Math.max(...svid.chain.map(({ notBefore }) => notBefore)),
      validUntil: Math.min(...svid.chain.map(({ notAfter }) => notAfter)),
    });
    if (this.#proven.size <= MAX_CHAINS) return;
    const [oldest] = this.#proven.keys();
    if (oldest !== undefined) this.#proven.delete(oldest);
  }
}
