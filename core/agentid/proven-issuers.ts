/**
 * Issuing certificates that were proven before: all chains of a trust domain go through the same one or two, and proving
 * and reading one again costs as much as the leaf.
 *
 * Only the signature of the bundle's authority is remembered. Profile, validity and revocation are looked at each time.
 */
import { isEqualBytes } from "../bytes.ts";
import type { Certificate } from "./certificate.ts";
import type { TrustBundle } from "./trust-bundle.ts";

/** A trust domain has one intermediate, and a second while it is rotated; some trust domains are federated. */
const MAX_ISSUERS = 16;

interface ProvenIssuer {
  readonly certificate: Certificate;
  /** Whose key signed it. */
  readonly anchor: Certificate;
  /** Whose authority that is; a bundle that has changed since proves nothing. */
  readonly bundle: TrustBundle;
}

/** Owns the memory, oldest first. */
export class ProvenIssuers {
  #issuers: readonly ProvenIssuer[] = [];

  /** The certificate of these bytes, read before. */
  find(der: Uint8Array): Certificate | undefined {
    return this.#issuers.find(({ certificate }) => isEqualBytes(certificate.der, der))?.certificate;
  }

  /** Which authority of this very bundle was found to have signed this very certificate. */
  anchorOf(certificate: Certificate, bundle: TrustBundle): Certificate | undefined {
    return this.#issuers.find((known) => known.certificate === certificate && known.bundle === bundle)
      ?.anchor;
  }

  /** Keeps an issuer whose signature was verified just now. */
  remember(proven: ProvenIssuer): void {
    if (!proven.certificate.isCa) return;
    this.#issuers = [...this.#issuers, proven].slice(-MAX_ISSUERS);
  }
}
