/**
 * OAuth clients that prove themselves with a WIT-SVID and a proof of its key.
 *
 * What they get is bound to that key and no other: the proof covers neither the form nor a second key, so whoever
 * caught it on its way buys nothing for a key of his own.
 *
 * @see draft-ietf-oauth-spiffe-client-auth-02 §3.3; draft-ietf-oauth-attestation-based-client-auth-11 §6
 */

import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { verifyClientAttestation } from "@trustwarden/core/client-attestation.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Arrival } from "../http/arrival.ts";
import type { Evidence } from "../http/authenticate.ts";
import { agentOfToken, instanceIdOfSpiffeId, requireLiveChain } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import type { ProvenClient } from "./client-authentication.ts";
import { verifyOwnWit } from "./own-wit.ts";

const WIT = "oauth-client-attestation";
const PROOF = "oauth-client-attestation-pop";

/** Whether a request comes with a WIT-SVID or its proof, good or not. */
export function hasAttestation({ headers }: Pick<Arrival, "headers">): boolean {
  return headers[WIT] !== undefined || headers[PROOF] !== undefined;
}

/**
 * The client of a request with a WIT-SVID; its proof is used up.
 *
 * @throws TrustWardenError `wit_disabled`, `client_attestation_invalid`, `client_attestation_replayed`, and the codes of
 *   `verifyOwnWit` and of a dead instance.
 */
export async function proveByWit(
  services: Services,
  { headers }: Arrival,
  evidence: Evidence,
): Promise<ProvenClient> {
  const now = services.clock.trustedSeconds();
  const { [WIT]: wit, [PROOF]: proof } = headers;
  if (typeof wit !== "string" || typeof proof !== "string") {
    throw new TrustWardenError("client_attestation_invalid", { reason: "header" });
  }
  const svid = verifyOwnWit(services, wit, now);
  evidence.spiffeId = svid.id;
  const { confirmationKey, confirmationThumbprint: thumbprint, expiresAt } = svid;
  const audience = services.oauth.issuer;
  const { jti } = verifyClientAttestation(proof, confirmationKey, { audience, clientId: svid.id, now });
  const chain = requireLiveChain(services.reads, instanceIdOfSpiffeId(services, svid.id), now);
  const principal = agentOfToken({ spiffeId: svid.id, svidSha256: thumbprint, chain });
  await services.oauth.claimAttestation({ thumbprint, jti }, now);
  return {
    principal,
    client: {
      method: "spiffe_wit",
      svidSha256: null,
      notAfter: expiresAt,
      assertion: null,
      bound: {
        confirmation: { kind: "jkt", digest: thumbprint },
        keySha256: encodeBase64url(sha256(encodeSpki(confirmationKey))),
      },
    },
  };
}
