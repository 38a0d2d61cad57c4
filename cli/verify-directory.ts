/**
 * Verifying an exported log on this side: every file, record, signature and join, with the core's own auditor, and
 * certificates by AgentID against the trust bundle of the export.
 */
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { auditLog, type LogReport } from "@trustwarden/core/agentledger/verify-log.ts";
import { createCertificateVerifier } from "trustwarden/peer.ts";
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
    certificates: createCertificateVerifier(
      parseTrustBundle(bundle ?? log.bundleText, parseTrustDomain(log.trustDomain)),
    ),
    ...(olderCheckpoint === undefined ? {} : { olderCheckpoint }),
  });
}
