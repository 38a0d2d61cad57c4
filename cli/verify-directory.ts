/**
 * Verifying an exported log on this side: every file, record, signature and join, with the core's own auditor, and
 * certificates by AgentID against the trust bundle of the export.
 */
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { parseCheckpointText } from "@trustwarden/core/agentledger/checkpoint.ts";
import { originOfNote } from "@trustwarden/core/agentledger/cosignature.ts";
import { readShardChain } from "@trustwarden/core/agentledger/shard-chain.ts";
import { parseNote, parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import type { TlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { auditLog, type LogAudit, type LogReport } from "@trustwarden/core/agentledger/verify-log.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createCertificateVerifier } from "trustwarden/peer.ts";
import { type LogDirectory, openLogDirectory } from "./log-directory.ts";
import { readWitnessStatus, type WitnessStatus } from "./witness-policy.ts";

/** What to hold an export against; what is not given is taken from the export itself, which then only proves itself. */
export interface DirectoryAudit {
  readonly directory: string;
  readonly vkey: string | undefined;
  /** Text of a trust bundle that was kept or fetched elsewhere. */
  readonly bundle?: string | undefined;
  /** Text of a checkpoint that was kept earlier. */
  readonly olderCheckpoint: string | undefined;
  /** Whose cosignatures count; null or nothing for nobody's. */
  readonly policy?: TlogPolicy | null;
  /** For a log that still grows; 0 unless given. */
  readonly windowSeconds?: number;
  /** Called with each readable record in order, before anything is known to be whole. */
  readonly onRecord?: LogAudit["onRecord"];
}

/** What was found, and how far others than the log vouch for it. */
export interface DirectoryReport extends LogReport {
  readonly witnessed: WitnessStatus;
  /** Entries under the witnessed checkpoint; what lies beyond is the log's word alone. */
  readonly witnessedSize: number | null;
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
  policy = null,
  windowSeconds = 0,
  onRecord,
}: DirectoryAudit): Promise<DirectoryReport> {
  const log = openLogDirectory(directory);
  const key = vkey ?? log.vkey;
  const note = log.witnessed ?? (await log.reader.readCheckpoint()) ?? "";
  const witnessed = readWitnessStatus(note, {
    policy,
    vkey: key,
    key: policy === null ? key : await keyOfShard(note, key, log),
    isClaimed: log.witnessed !== null,
  });
  const isProven = witnessed.kind === "proven";
  const report = await auditLog({
    reader: log.reader,
    openShard: log.openShard,
    vkey: key,
    certificates: createCertificateVerifier(
      parseTrustBundle(bundle ?? log.bundleText, parseTrustDomain(log.trustDomain)),
    ),
    windowSeconds,
    ...(onRecord === undefined ? {} : { onRecord }),
    ...(olderCheckpoint === undefined ? {} : { olderCheckpoint }),
    ...(isProven ? { witnessedCheckpoint: note } : {}),
  });
  return { ...report, witnessed, witnessedSize: isProven ? witnessedSizeOf(note, report) : null };
}

/** The key to which the ends of shards lead from the first one; that one where they lead to no shard of a note. */
async function keyOfShard(note: string, vkey: string, { openShard }: LogDirectory): Promise<string> {
  try {
    const { ended, live } = await readShardChain(vkey, openShard);
    return [...ended, live].find((shard) => parseVkey(shard.vkey).name === originOfNote(note))?.vkey ?? vkey;
  } catch (error) {
    // Safe: damage is the audit's to report, and a note that the first key did not sign is refused.
    if (error instanceof TrustWardenError) return vkey;
    throw error;
  }
}

/** Entries of the ledger under a witnessed checkpoint, with all shards before its own. */
function witnessedSizeOf(note: string, { shards }: LogReport): number | null {
  const { origin, size } = parseCheckpointText(parseNote(note).unverifiedText);
  const shard = shards.find(({ checkpoint }) => checkpoint.origin === origin);
  return shard === undefined ? null : shard.first + size;
}
