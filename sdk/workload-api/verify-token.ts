/**
 * Proves a JWT-SVID of any issuer against the JWT bundles of the Workload API, without a call to the endpoint.
 *
 * As strict as our own verifier (`core/agentid/jwt-svid.ts`), with which it shares every parser; only the algorithms are
 * all those of the standard.
 *
 * @see JWT-SVID §4, §5; SPIFFE_Workload_API.md §6.3
 */
import type { JwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import {
  parseClaims,
  requireAudience,
  requireWithinLifetime,
} from "@trustwarden/core/agentid/jwt-svid-claims.ts";
import { parseCompactJws, parsePayload } from "@trustwarden/core/agentid/jwt-svid-jws.ts";
import type { BundleSource } from "@trustwarden/core/agentid/ports.ts";
import { trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { findBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJwtSignature, JWT_SVID_ALGORITHMS } from "./jwt-signature.ts";

/**
 * @param options.audience - who we are; must be among the token's audiences.
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `svid_malformed`, `trust_domain_unknown`, `svid_untrusted`, `svid_audience`, `svid_expired`,
 *   `svid_not_yet_valid` or `svid_too_long_lived`.
 */
export function verifyWorkloadToken(
  token: string,
  {
    bundles,
    audience,
    now,
  }: { readonly bundles: BundleSource; readonly audience: string; readonly now: number },
): JwtSvid {
  const jws = parseCompactJws(token, "jwt-svid", JWT_SVID_ALGORITHMS);
  const { algorithm, unverifiedKid: kid, signingInput: data, signature } = jws;
  const unverifiedClaims = parseClaims(parsePayload(jws.unverifiedPayload));
  const { jwtAuthorities } = findBundle(bundles, trustDomainOf(unverifiedClaims.id));
  // The standard lets a token go without a kid; then each key of the bundle may be the one.
  const candidates = kid === undefined ? [...jwtAuthorities.values()] : [jwtAuthorities.get(kid)];
  const isProven = candidates.some(
    (key) => key !== undefined && isJwtSignature({ algorithm, key, data, signature }),
  );
  if (!isProven)
    throw new TrustWardenError("svid_untrusted", { reason: "no key of the bundle signed the token" });
  requireAudience(unverifiedClaims, audience);
  requireWithinLifetime(unverifiedClaims, now);
  return { ...unverifiedClaims, kid };
}
