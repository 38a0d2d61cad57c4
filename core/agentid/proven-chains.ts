/**
 * Certificate chains that were proven before: proving one costs a millisecond, and an agent shows the same for an hour.
 *
 * Only the proof is remembered, never that somebody is alive: validity is compared for every question, and liveness is
 * asked of the store. A chain that was refused is not remembered.
 */
import { concatBytes, encodeBase64url } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import type { BundleSource } from "./ports.ts";
import { ProvenIssuers } from "./proven-issuers.ts";
import { trustDomainOf } from "./spiffe-id.ts";
import type { TrustBundle } from "./trust-bundle.ts";
import { verifyX509Svid, type X509Svid } from "./x509-svid.ts";

/** A few kilobytes each. */
const MAX_CHAINS = 10_000;

interface Proven {
  readonly svid: X509Svid;
  /** What it was proven against; a bundle that has changed since proves nothing. */
  readonly bundle: TrustBundle | undefined;
  /** Unix seconds between which every certificate shown is valid. */
  readonly validFrom: number;
  readonly validUntil: number;
}

/** Owns the memory; an entry counts only while the source hands out the very bundle that it was proven against. */
export class ProvenChains {
  readonly #bundles: BundleSource;
  readonly #proven = new Map<string, Proven>();
  /** Digests of chains by the very array: a socket hands out the same one for each of its requests. */
  readonly #digests = new WeakMap<readonly Uint8Array[], string>();

  readonly #issuers: ProvenIssuers;

  /**
   * @param bundles - a trust domain's bundle must be the same object until it changes.
   * @param issuers - shared with whoever proves chains of the same trust domains; its own unless given.
   */
  constructor(bundles: BundleSource, issuers = new ProvenIssuers()) {
    this.#bundles = bundles;
    this.#issuers = issuers;
  }

  /**
   * The SVID of a chain, proven now or before.
   *
   * @param chainDer - leaf first; neither the array nor its bytes may be changed afterwards.
   * @param now - Unix seconds.
   * @throws TrustWardenError as `verifyX509Svid`.
   */
  verify(chainDer: readonly Uint8Array[], now: number): X509Svid {
    const key = this.#digestOf(chainDer);
    const known = this.#proven.get(key);
    if (known !== undefined && this.#isStillProven(known, now)) return known.svid;
    const svid = verifyX509Svid(chainDer, this.#bundles, now, this.#issuers);
    this.#remember(key, svid);
    return svid;
  }

  #digestOf(chainDer: readonly Uint8Array[]): string {
    const known = this.#digests.get(chainDer);
    if (known !== undefined) return known;
    const digest = encodeBase64url(sha256(concatBytes(...chainDer.map(sha256))));
    this.#digests.set(chainDer, digest);
    return digest;
  }

  #isStillProven({ svid, bundle, validFrom, validUntil }: Proven, now: number): boolean {
    return now >= validFrom && now < validUntil && this.#bundles.get(trustDomainOf(svid.id)) === bundle;
  }

  #remember(key: string, svid: X509Svid): void {
    this.#proven.set(key, {
      svid,
      bundle: this.#bundles.get(trustDomainOf(svid.id)),
      validFrom: Math.max(...svid.chain.map(({ notBefore }) => notBefore)),
      validUntil: Math.min(...svid.chain.map(({ notAfter }) => notAfter)),
    });
    if (this.#proven.size <= MAX_CHAINS) return;
    const [oldest] = this.#proven.keys();
    if (oldest !== undefined) this.#proven.delete(oldest);
  }
}
