/**
 * `verifyEvidence`: an evidence bundle, verified offline against trust anchors that the caller brings.
 */
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { fileOf, openEvidenceBundle, TRUST_FILE } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { type BundleReport, verifyEvidenceBundle } from "@trustwarden/core/agentledger/verify-bundle.ts";
import { encodeHex, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createCertificateVerifier } from "./certificate-verifier.ts";

/** Whom to believe; never taken from the bundle. */
export interface EvidenceTrust {
  /** Either the log's key, or the text of a C2SP tlog-policy with the log and the witnesses that have to have signed. */
  readonly log: { readonly vkey: string } | { readonly policy: string };
  /** Either the text of a SPIFFE trust bundle that you kept, or SHA-256 fingerprints (hex) of root certificates. */
  readonly roots: { readonly bundle: string } | { readonly fingerprints: readonly string[] };
  /** A checkpoint of the log that you kept: the bundle has to show that the log was not rewritten since. */
  readonly earlier?: string;
}

/**
 * Proves an evidence bundle (`.twb`) and answers who did it, who authorized it and what stops it, for each event.
 *
 * @throws TrustWardenError `evidence_bundle_malformed`, `evidence_bundle_invalid`, `checkpoint_malformed`,
 *   `checkpoint_untrusted`, `checkpoint_unwitnessed`, `witness_policy_malformed`, `proof_malformed`, `proof_invalid`, and the codes of the trust bundle.
 */
export function verifyEvidence(bytes: Uint8Array, { log, roots, earlier }: EvidenceTrust): BundleReport {
  const bundle = openEvidenceBundle(bytes);
  const trustDomain = parseTrustDomain(bundle.unverifiedManifest.trust_domain);
  const trusted =
    "bundle" in roots
      ? parseTrustBundle(roots.bundle, trustDomain)
      : pickRoots(
          parseTrustBundle(parseUtf8(fileOf(bundle.files, TRUST_FILE)), trustDomain),
          roots.fingerprints,
        );
  const certificates = createCertificateVerifier(trusted);
  const policy = parseTlogPolicy("policy" in log ? log.policy : `log ${log.vkey}\nquorum none\n`);
  return verifyEvidenceBundle(bundle, { policy, certificates, earlier: earlier ?? null });
}

/** The roots of the bundle that the caller knows by their fingerprints; no other is believed. */
function pickRoots(offered: TrustBundle, fingerprints: readonly string[]): TrustBundle {
  const wanted = fingerprints.map((text) => text.replaceAll(":", "").toLowerCase());
  const x509Authorities = offered.x509Authorities.filter(({ der }) =>
    wanted.includes(encodeHex(sha256(der))),
  );
  if (x509Authorities.length === 0)
    throw new TrustWardenError("evidence_bundle_invalid", {
      reason: "roots",
      detail: "none of your fingerprints",
    });
  return { ...offered, x509Authorities };
}
