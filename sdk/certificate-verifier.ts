/**
 * The certificates of a log that is verified offline: AgentID checks chains, AgentLedger asks for them.
 */
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { requireOwnClaims } from "@trustwarden/core/agentid/federation.ts";
import { parseTrustDomain, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import type { CertificateVerifier } from "@trustwarden/core/agentledger/ports.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

const NO_BUNDLE = {
  sequence: 0,
  refreshHintSeconds: 0,
  jwtAuthorities: new Map(),
  witAuthorities: new Map(),
  revokedAuthorities: new Set<string>(),
} as const;

/** Chains SVIDs to the roots of a trust bundle, as of the time of what they signed. */
export function createCertificateVerifier(own: TrustBundle): CertificateVerifier {
  // An intermediate that was revoked since was good when its records were logged: their place in the log says when.
  const bundle = { ...own, revokedAuthorities: new Set<string>() };
  const bundles = new Map([[bundle.trustDomain, bundle]]);
  return {
    verifyChain: (chain, at) => {
      const { id, leaf } = verifyX509Svid(chain, bundles, at);
      const { sha256, publicKey, notBefore, notAfter } = leaf;
      const isForeign = trustDomainOf(id) !== bundle.trustDomain;
      return { spiffeId: id, sha256, publicKey, isForeign, notBefore, expiresAt: notAfter };
    },
    learnAuthorities: (name, authorities) => {
      const foreign = parseTrustDomain(name);
      // Nothing that the log tells may change whom we believe for our own trust domain.
      if (foreign === bundle.trustDomain) throw new TrustWardenError("federation_bundle_refused");
      const learnt = {
        ...NO_BUNDLE,
        trustDomain: foreign,
        x509Authorities: authorities.map(parseCertificate),
      };
      requireOwnClaims(learnt, [bundle]);
      bundles.set(foreign, learnt);
    },
  };
}
