/**
 * Whose signature a commit or tag has: an agent instance's, by a chain to the trust bundle at the time of signing.
 *
 * The time is the signer's word, within the certificate's own. Nobody is asked here, so a revoked instance's signature is
 * still good; whether the instance lives, and what it may push, is asked of the server by the hook.
 */

import { verifyDetachedCms } from "@trustwarden/core/agentid/cms.ts";
import { parseSignedMessage } from "@trustwarden/core/agentid/git-signature.ts";
import {
  instanceIdOf,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** How far the signer's clock may run ahead of ours. */
const CLOCK_SKEW_SECONDS = 300;

/** A proven signature. */
export interface GitSignature {
  readonly spiffeId: SpiffeId;
  readonly instanceId: string;
  /** base64url SHA-256 of the leaf. */
  readonly svidSha256: string;
  /** Unix seconds; the signer's word. */
  readonly signedAt: number;
}

/**
 * @param now - Unix seconds.
 * @throws TrustWardenError `signature_invalid`, `der_malformed`, and the codes of `verifyX509Svid`.
 */
export function verifyGitSignature(
  signature: string,
  payload: Uint8Array,
  { bundles, now }: { readonly bundles: ReadonlyMap<TrustDomain, TrustBundle>; readonly now: number },
): GitSignature {
  const { chain, leaf, signedAt } = verifyDetachedCms(parseSignedMessage(signature), payload);
  if (signedAt > now + CLOCK_SKEW_SECONDS)
    throw new TrustWardenError("signature_invalid", { why: "it was signed in the future" });
  const { id } = verifyX509Svid(chain, bundles, signedAt);
  const instanceId = instanceIdOf(id);
  if (instanceId === undefined)
    throw new TrustWardenError("signature_invalid", { why: `${trustDomainOf(id)} names no instance` });
  return { spiffeId: id, instanceId, svidSha256: leaf.sha256, signedAt };
}
