/**
 * The SVIDs that a log carries, by what its records call them.
 *
 * The certificates come from issue, renew and start events; an event vouches for nothing here. A chain counts when it
 * leads to a trust root, as of the time of the record that it signed.
 */
import { encodeBase64url, parseBase64 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord } from "../event.ts";
import type { Json } from "../json.ts";
import type { CertificateVerifier, VerifiedCertificate } from "./ports.ts";

/** Owns the chains seen so far and what was proven of them. */
export class SvidDirectory {
  readonly #verifier: CertificateVerifier;
  /** Unverified chains by the digest of their leaf. */
  readonly #chains = new Map<string, readonly Uint8Array[]>();
  readonly #verified = new Map<string, VerifiedCertificate>();

  constructor(verifier: CertificateVerifier) {
    this.#verifier = verifier;
  }

  /** Takes note of the chain that a control record carries, if it does. */
  collect({ details }: ControlRecord): void {
    const { svid_chain: chain } = details;
    if (!isTexts(chain)) return;
    const certificates = chain.map(parseBase64);
    const [leaf] = certificates;
    if (leaf !== undefined) this.#chains.set(encodeBase64url(sha256(leaf)), certificates);
  }

  /**
   * Takes note of a federated trust domain's authorities, from a record that a server of ours signed.
   *
   * @throws TrustWardenError `record_malformed`, or as `CertificateVerifier.learnAuthorities`.
   */
  learn({ details }: ControlRecord): void {
    const { trust_domain: trustDomain, x509_authorities: authorities = [], change } = details;
    if (typeof trustDomain !== "string" || !isTexts(authorities)) {
      throw new TrustWardenError("record_malformed", { reason: "federation" });
    }
    const isAboutKeys = change === "removal" || details.x509_authorities !== undefined;
    if (isAboutKeys) this.#verifier.learnAuthorities?.(trustDomain, authorities.map(parseBase64));
  }

  /**
   * The certificate with this digest, proven for an instant.
   *
   * @param at - Unix seconds.
   * @throws TrustWardenError `not_found` when the log does not carry it, or an `svid_` code.
   */
  verify(keyid: string, at: number): VerifiedCertificate {
    const known = this.#verified.get(keyid);
    if (known !== undefined && at >= known.notBefore && at < known.expiresAt) return known;
    const chain = this.#chains.get(keyid);
    if (chain === undefined) throw new TrustWardenError("not_found", { keyid });
    const verified = this.#verifier.verifyChain(chain, at);
    if (verified.sha256 !== keyid) throw new TrustWardenError("svid_mismatch", { keyid });
    this.#verified.set(keyid, verified);
    return verified;
  }
}

function isTexts(value: Json | undefined): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
