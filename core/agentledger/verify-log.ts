/**
 * Offline verification of a whole log: every file, every record, every signature, every join.
 *
 * Needs three things from a place other than the log: its verifier key, trust roots (behind the certificate
 * verifier), and, against a forked history, an older checkpoint. Reads each file once and keeps per action what later
 * records are checked against.
 */
import { encodeBase64, isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { RecordAuditor } from "./audit-records.ts";
import { auditTiles } from "./audit-tiles.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import { FINDINGS, type Finding, type Report } from "./finding.ts";
import type { CertificateVerifier, LogReader } from "./ports.ts";
import type { RecordKind, UnverifiedRecord } from "./record.ts";
import { SvidDirectory } from "./svid-directory.ts";
import { TreeReader } from "./tree-reader.ts";

/** What is checked, and against what. */
export interface LogAudit {
  readonly reader: LogReader;
  /** The log's key, from a place other than the log. */
  readonly vkey: string;
  readonly certificates: CertificateVerifier;
  /** A checkpoint that somebody kept: the log must continue it. */
  readonly olderCheckpoint?: string;
  /** A checkpoint that witnesses cosigned, verified by the caller's policy: the log must continue it too. */
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
  readonly checkpoint: Checkpoint;
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
export async function auditLog({
  reader,
  vkey,
  certificates,
  olderCheckpoint,
  witnessedCheckpoint,
  windowSeconds = 0,
  onRecord,
}: LogAudit): Promise<LogReport> {
  const note = await reader.readCheckpoint();
  if (note === null) throw new TrustWardenError("checkpoint_malformed", { reason: "missing" });
  const checkpoint = verifyCheckpoint(note, vkey);
  const findings: Finding[] = [];
  const report: Report = (finding) => {
    if (findings.length < MAX_FINDINGS) findings.push({ ...finding, severity: FINDINGS[finding.code] });
  };
  const auditor = new RecordAuditor({ svids: new SvidDirectory(certificates), report, windowSeconds });
  const seen = new SeenAuditor({ reader, checkpoint, report });
  const records = { intent: 0, "presented-intent": 0, decision: 0, outcome: 0, control: 0 };
  for await (const { first, entries } of auditTiles(reader, { head: checkpoint, report })) {
    for (const [offset, entry] of entries.entries()) {
      const record = auditor.add(first + offset, entry);
      if (record === null) continue;
      records[record.unverified.kind] += 1;
      await seen.add(first + offset, record);
      onRecord?.(first + offset, record);
    }
  }
  auditor.finish();
  for (const kept of [olderCheckpoint, witnessedCheckpoint]) {
    if (kept !== undefined) await seen.requireContinues(verifyCheckpoint(kept, vkey));
  }
  const { signatures, notDue } = auditor;
  return { checkpoint, records, signatures, notDue, findings };
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

/** Checks claims about earlier trees of this log: those in intents, and a checkpoint that somebody kept. */
class SeenAuditor {
  readonly #tree: TreeReader;
  readonly #checkpoint: Checkpoint;
  readonly #report: Report;
  readonly #roots = new Map<number, Promise<string | null>>();

  constructor({
    reader,
    checkpoint,
    report,
  }: { readonly reader: LogReader; readonly checkpoint: Checkpoint; readonly report: Report }) {
    this.#tree = new TreeReader(reader, checkpoint.size);
    this.#checkpoint = checkpoint;
    this.#report = report;
  }

  /** An agent cannot have seen a tree that already held its intent, nor one with another root. */
  async add(index: number, { unverified }: UnverifiedRecord): Promise<void> {
    if (unverified.kind !== "intent" || unverified.value.seen === null) return;
    const { origin, size, root } = unverified.value.seen;
    if (origin !== this.#checkpoint.origin) return;
    if (size > index || (await this.#rootAt(size)) !== root) {
      this.#report({
        code: "seen_mismatch",
        place: `entry ${index}`,
        detail: `the agent saw another tree of size ${size}`,
      });
    }
  }

  async requireContinues({ size, root }: Checkpoint): Promise<void> {
    const same = size <= this.#checkpoint.size && (await this.#rootAt(size)) === encodeBase64(root);
    const isHead = size === this.#checkpoint.size && isEqualBytes(root, this.#checkpoint.root);
    if (same || isHead) return;
    this.#report({
      code: "root_mismatch",
      place: "checkpoint",
      detail: `does not continue the kept checkpoint of size ${size}`,
    });
  }

  #rootAt(size: number): Promise<string | null> {
    const known = this.#roots.get(size) ?? this.#tree.readRoot(size).then(encodeBase64, nullForDamage);
    this.#roots.set(size, known);
    return known;
  }
}

/** A tile that cannot be read was reported already; the claim then stays unproven, which is reported too. */
function nullForDamage(error: unknown): null {
  if (!(error instanceof TrustWardenError)) throw error;
  return null;
}
