/**
 * Offline verification of a whole ledger: every file, every record, every signature, every join, and the chain between its
 * shards.
 *
 * Needs three things from a place other than the log: its verifier key, trust roots (behind the certificate
 * verifier), and, against a forked history, an older checkpoint. Reads each file once and keeps per action what later
 * records are checked against.
 */
import { encodeBase64, isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { RecordAuditor } from "./audit-records.ts";
import { type AuditedShard, auditShards } from "./audit-shards.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import { originOfNote } from "./cosignature.ts";
import { FINDINGS, type Finding, type Report } from "./finding.ts";
import type { CertificateVerifier, LogReader } from "./ports.ts";
import type { RecordKind, UnverifiedRecord } from "./record.ts";
import type { ShardName } from "./shard.ts";
import { SvidDirectory } from "./svid-directory.ts";
import { TreeReader } from "./tree-reader.ts";

/** What is checked, and against what. */
export interface LogAudit {
  /** Of the log that the ledger began with. */
  readonly reader: LogReader;
  /** Of the shards behind it; unless given there are none, and an end that names one is damage. */
  readonly openShard?: (name: ShardName) => LogReader;
  /** The ledger's key, from a place other than the log. */
  readonly vkey: string;
  readonly certificates: CertificateVerifier;
  /** A checkpoint that somebody kept, of any shard: the ledger must continue it. */
  readonly olderCheckpoint?: string;
  /** A checkpoint that witnesses cosigned, verified by the caller's policy: the ledger must continue it too. */
  readonly witnessedCheckpoint?: string;
  /**
   * How old, by the log's own latest time, what should be followed by something must be before its absence is an alarm: for
   * a log that still grows. 0 unless given.
   */
  readonly windowSeconds?: number;
  /** Called with each readable record in order, before the report is complete. */
  readonly onRecord?: (index: number, record: UnverifiedRecord) => void;
}

/** What was checked and what was found. */
export interface LogReport {
  /** Of the newest shard. */
  readonly checkpoint: Checkpoint;
  /** Entries of all shards. */
  readonly size: number;
  /** Oldest first. */
  readonly shards: readonly { readonly first: number; readonly checkpoint: Checkpoint }[];
  /** Readable records by kind. */
  readonly records: Readonly<Record<RecordKind, number>>;
  /** Signatures that verified with an SVID that chains to a trust root. */
  readonly signatures: number;
  /** Outcomes and intents that are missing and not due yet. */
  readonly notDue: number;
  /** In the order found; damage and alarms. */
  readonly findings: readonly Finding[];
}

/** Findings beyond this are counted by nobody: the log is in ruins. */
const MAX_FINDINGS = 10_000;

/**
 * Checks everything and reports everything.
 *
 * @throws TrustWardenError `checkpoint_malformed` or `checkpoint_untrusted`: without a checkpoint there is nothing to
 *   check against.
 */
export async function auditLog(audit: LogAudit): Promise<LogReport> {
  const { certificates, olderCheckpoint, witnessedCheckpoint, windowSeconds = 0, onRecord } = audit;
  const findings: Finding[] = [];
  const report: Report = (finding) => {
    if (findings.length < MAX_FINDINGS) findings.push({ ...finding, severity: FINDINGS[finding.code] });
  };
  const auditor = new RecordAuditor({ svids: new SvidDirectory(certificates), report, windowSeconds });
  const seen = new SeenAuditor(report);
  const records = { intent: 0, "presented-intent": 0, decision: 0, outcome: 0, control: 0 };
  const shards: AuditedShard[] = [];
  for await (const step of auditShards(audit, report)) {
    if (step.kind === "shard") {
      shards.push(step);
      seen.begin(step);
      continue;
    }
    const record = auditor.add(step.index, step.entry);
    if (record === null) continue;
    records[record.unverified.kind] += 1;
    await seen.add(step.index, record);
    onRecord?.(step.index, record);
  }
  auditor.finish();
  for (const kept of [olderCheckpoint, witnessedCheckpoint]) {
    if (kept !== undefined) await seen.requireContinues(kept);
  }
  const { signatures, notDue } = auditor;
  const last = shards.at(-1);
  if (last === undefined) throw new Error("an audit without a checkpoint ends before");
  const { checkpoint, first } = last;
  return { checkpoint, size: first + checkpoint.size, shards, records, signatures, notDue, findings };
}

/**
 * Refuses a log that is damaged or holds what nobody should have signed; alarms are in the report.
 *
 * @throws TrustWardenError `ledger_corrupt` with the first place, and the checkpoint codes.
 */
export async function verifyLog(audit: LogAudit): Promise<LogReport> {
  const report = await auditLog(audit);
  const damage = report.findings.find(({ severity }) => severity === "damage");
  if (damage !== undefined) {
    throw new TrustWardenError("ledger_corrupt", {
      finding: damage.code,
      place: damage.place,
      detail: damage.detail,
    });
  }
  return report;
}

/** A shard with the tree that claims about it are held against. */
interface SeenShard extends AuditedShard {
  readonly tree: TreeReader;
  readonly roots: Map<number, Promise<string | null>>;
}

/** Checks claims about earlier trees of this ledger: those in intents, and a checkpoint that somebody kept. */
class SeenAuditor {
  readonly #report: Report;
  readonly #shards: SeenShard[] = [];

  constructor(report: Report) {
    this.#report = report;
  }

  /** Takes the shard that comes next. */
  begin(shard: AuditedShard): void {
    const tree = new TreeReader(shard.reader, shard.checkpoint.size);
    this.#shards.push({ ...shard, tree, roots: new Map() });
  }

  /** An agent cannot have seen a tree that already held its intent, nor one with another root. */
  async add(index: number, { unverified }: UnverifiedRecord): Promise<void> {
    if (unverified.kind !== "intent" || unverified.value.seen === null) return;
    const { origin, size, root } = unverified.value.seen;
    const shard = this.#shards.find(({ checkpoint }) => checkpoint.origin === origin);
    if (shard === undefined) return;
    if (shard.first + size > index || (await rootAt(shard, size)) !== root) {
      this.#report({
        code: "seen_mismatch",
        place: `entry ${index}`,
        detail: `the agent saw another tree of size ${size}`,
      });
    }
  }

  /** @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted` for one of no shard's key. */
  async requireContinues(note: string): Promise<void> {
    const origin = originOfNote(note);
    const shard = this.#shards.find(({ checkpoint }) => checkpoint.origin === origin) ?? this.#shards.at(-1);
    if (shard === undefined) return;
    const { checkpoint, vkey } = shard;
    const { size, root } = verifyCheckpoint(note, vkey);
    const same = size <= checkpoint.size && (await rootAt(shard, size)) === encodeBase64(root);
    const isHead = size === checkpoint.size && isEqualBytes(root, checkpoint.root);
    if (same || isHead) return;
    this.#report({
      code: "root_mismatch",
      place: "checkpoint",
      detail: `does not continue the kept checkpoint of size ${size}`,
    });
  }
}

function rootAt({ tree, roots }: SeenShard, size: number): Promise<string | null> {
  const known = roots.get(size) ?? tree.readRoot(size).then(encodeBase64, nullForDamage);
  roots.set(size, known);
  return known;
}

/** A tile that cannot be read was reported already; the claim then stays unproven, which is reported too. */
function nullForDamage(error: unknown): null {
  if (!(error instanceof TrustWardenError)) throw error;
  return null;
}
