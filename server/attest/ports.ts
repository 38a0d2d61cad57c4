/**
 * What the rest of the server sees of attestation: evidence in, verified selectors out.
 *
 * Dispatch is default deny: an attestor exists only when the configuration names it, and each reads its selectors
 * from the bytes that it has verified and from nothing else.
 */
import type { Selector } from "@trustwarden/core/agentid/selector.ts";
import type { Evidence, EvidenceType } from "@trustwarden/core/api/attestation.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";

/** Circumstances that evidence is judged in. */
export interface AttestationContext {
  /** Unix seconds. */
  readonly nowSeconds: number;
  /** The server's nonce of this exchange, for evidence that can carry one. */
  readonly nonce?: string;
  /** Whom evidence must be made for, unless the attestor is configured with a name of its own. */
  readonly audience: string;
}

/** What was proven. */
export interface Attested {
  readonly type: EvidenceType;
  /** Canonical: sorted, each once. */
  readonly selectors: readonly Selector[];
  /** Stable name of what was attested, such as `aws:<account>:<region>:<instance>`. */
  readonly subject: string;
  /** Facts for the event; small, and no secrets. */
  readonly claims: JsonObject;
  /** Unix seconds; the evidence proves nothing from then on. */
  readonly expiresAt: number;
  /**
   * Names the evidence where it may be used only once, the same in each of its forms. Whoever issues claims it in the
   * transaction that issues.
   */
  readonly singleUse: { readonly id: string; readonly expiresAt: number } | null;
}

/**
 * Verifies one kind of evidence.
 *
 * @throws TrustWardenError the `attestation_` codes.
 */
export type Attest<Kind extends EvidenceType> = (
  evidence: Extract<Evidence, { readonly type: Kind }>,
  context: AttestationContext,
) => Promise<Attested>;

/** All configured attestors. */
export interface Attestors {
  /**
   * What the evidence proves.
   *
   * @throws TrustWardenError `attestation_malformed`, `attestation_refused`, `attestation_expired`,
   *   `attestation_untrusted_issuer` (also for a type that is not configured) or
   *   `attestation_unavailable`.
   */
  attest(evidence: Evidence, context: AttestationContext): Promise<Attested>;
}
