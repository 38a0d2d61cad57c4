/**
 * Signs the leaves of one authority, and says which of them are read back and proven before they leave.
 *
 * A signature that was made elsewhere, in a token or a service, is proven each time: what answers there may answer rubbish.
 * One that this process made with a key in its own memory comes from the code that would prove it. It is proven for the first
 * certificate of a signer, for the first of each stencil, and for one in so many from then on.
 *
 * @see docs/decisions/0092-what-is-signed-here.md
 */
import type { Signer } from "../signer.ts";
import { encodeCertificate, type Template } from "./svid-profile-template.ts";
import { TbsStencils } from "./tbs-stencil.ts";

/** Between two that are proven: a library or memory that went bad is noticed within so many, for one fiftieth of the cost. */
const UNPROVEN_RUN = 63;

/** Owns what is remembered of one authority's leaves: nothing that a request could choose but lengths. */
export class LeafIssuer {
  readonly #stencils = new TbsStencils();
  /** How many more a signer may make before one is proven again. */
  readonly #left = new WeakMap<Signer, number>();

  /**
   * The certificate of a template, DER.
   *
   * @param prove - throws unless a certificate is exactly the one asked for and the authority's.
   */
  issue(template: Template, signer: Signer, prove: (der: Uint8Array) => void): Uint8Array {
    const { tbs, isNew } = this.#stencils.encode(template);
    const der = encodeCertificate(tbs, signer.sign(tbs));
    const isTrusted = signer.isInProcess === true && !isNew;
    const left = isTrusted ? (this.#left.get(signer) ?? 0) : 0;
    // After one that does not hold the count stays where it is, so that the next is looked at too.
    if (left === 0) prove(der);
    this.#left.set(signer, left === 0 ? UNPROVEN_RUN : left - 1);
    return der;
  }
}
