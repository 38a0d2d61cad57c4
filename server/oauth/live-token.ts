/**
 * Whether an access token still counts, asked of the state of this moment: issued here, not revoked, and everybody
 * whom it names alive. Whether its key is shown is asked by whoever sees the request that it comes with.
 */
import { type AccessToken, verifyAccessToken } from "@trustwarden/core/access-token.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { requireLiveChain } from "../http/peer.ts";
import type { Services } from "../http/services.ts";

type TokenServices = Pick<Services, "authority" | "oauth" | "reads" | "clock">;

/**
 * A token that counts now.
 *
 * @throws TrustWardenError `access_token_invalid`, `access_token_expired`, `access_token_revoked`, and the codes of a
 *   dead instance.
 */
export function verifyLiveToken(
  { authority, oauth, reads, clock }: TokenServices,
  text: string,
): AccessToken {
  const now = clock.trustedSeconds();
  const { jwtAuthorities } = authority().bundle;
  const token = verifyAccessToken(text, {
    keyOf: (kid) => jwtAuthorities.get(kid),
    issuer: oauth.issuer,
    now,
  });
  const state = reads.findAccessToken(token.jti);
  // One that the store does not know was not issued here, whoever signed it.
  if (state?.isRevoked !== false) throw new TrustWardenError("access_token_revoked");
  requireLiveChain(reads, state.clientInstanceId, now);
  requireLiveChain(reads, state.subjectInstanceId, now);
  return token;
}
