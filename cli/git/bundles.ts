/** The trust bundle that comes with an identity: the roots of its own trust domain. */
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { parseSpiffeId, type TrustDomain, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** @throws TrustWardenError `no_svid`, `svid_malformed`. */
export function bundlesOf(
  chain: readonly Uint8Array[],
  roots: readonly Uint8Array[],
): ReadonlyMap<TrustDomain, TrustBundle> {
  const [leaf] = chain.map(parseCertificate);
  const [uri] = leaf?.uris ?? [];
  if (uri === undefined) throw new TrustWardenError("no_svid");
  const trustDomain = trustDomainOf(parseSpiffeId(uri));
  const bundle: TrustBundle = {
    trustDomain,
    x509Authorities: roots.map(parseCertificate),
    jwtAuthorities: new Map(),
    witAuthorities: new Map(),
    revokedAuthorities: new Set(),
    sequence: 0,
    refreshHintSeconds: 300,
  };
  return new Map([[trustDomain, bundle]]);
}
