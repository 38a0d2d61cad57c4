/**
 * Verifying an exported log on this side: every file, record, signature and join, with the core's own auditor, and
 * certificates by AgentID against the trust bundle of the export.
 */
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { requireOwnClaims } from "@trustwarden/core/agentid/federation.ts";
import { parseTrustDomain, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import type { CertificateVerifier } from "@trustwarden/core/agentledger/ports.ts";
import { auditLog, type LogReport } from "@trustwarden/core/agentledger/verify-log.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { openLogDirectory } from "./log-directory.ts";

/** What to hold an export against; what is not given is taken from the export itself, which then only proves itself. */
export interface DirectoryAudit {
  readonly directory: string;
  readonly vkey: string | undefined;
  /** Text of a trust bundle that was kept or fetched elsewhere. */
  readonly bundle?: string | undefined;
  /** Text of a checkpoint that was kept earlier. */
  readonly olderCheckpoint: string | undefined;
}

/**
 * The report on an exported log; damage and alarms are in its findings.
 *
 * @throws TrustWardenError `not_found`, `checkpoint_malformed`, `checkpoint_untrusted`, and the codes of the bundle.
 */
export async function auditDirectory({
  directory,
  vkey,
  bundle,
  olderCheckpoint,
}: DirectoryAudit): Promise<LogReport> {
  const log = openLogDirectory(directory);
  return auditLog({
    reader: log.reader,
    vkey: vkey ?? log.vkey,
    certificates: createCertificateVerifier(bundle ?? log.bundleText, log.trustDomain),
    ...(olderCheckpoint === undefined ? {} : { olderCheckpoint }),
  });
}

const NO_BUNDLE = {
  sequence: 0,
  refreshHintSeconds: 0,
  jwtAuthorities: new Map(),
  witAuthorities: new Map(),
  revokedAuthorities: new Set<string>(),
} as const;

/** Chains SVIDs to the roots of a trust bundle. */
function createCertificateVerifier(bundleText: string, trustDomain: string): CertificateVerifier {
  const parsed = parseTrustBundle(bundleText, parseTrustDomain(trustDomain));
  // An intermediate that was revoked since was good when its records were logged: their place in the log says when.
  const bundle = { ...parsed, revokedAuthorities: new Set<string>() };
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
