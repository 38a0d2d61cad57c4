/**
 * Offline verification of an evidence bundle: whether each entry is in the log that the auditor trusts, each record is
 * signed by whoever it names, and the records of each event agree.
 *
 * Trust comes from the caller only: the log's key with the witnesses, and the certificates. A part of a log shows what
 * is in it; that nothing is missing is shown for a range by its proof, and for an agent by its own count.
 */
import { encodeBase64, isEqualBytes, parseUtf8 } from "../bytes.ts";
import { verifyEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { RecordAuditor } from "./audit-records.ts";
import { auditSequences, type SequencedIntent } from "./audit-sequences.ts";
import { answerEvents, type BundleRecords, type EventAnswer } from "./bundle-answers.ts";
import type { Checkpoint } from "./checkpoint.ts";
import {
  type Cosignature,
  originOfNote,
  verifyWitnessedCheckpoint,
  vkeyUnder,
  type WitnessedCheckpoint,
} from "./cosignature.ts";
import {
  type EvidenceManifest,
  fileOf,
  formatProofPath,
  type OpenedBundle,
  type UnverifiedHead,
  unverifiedHeadsOf,
} from "./evidence-bundle.ts";
import { type EarlierCheckpoint, verifyGrowth } from "./evidence-growth.ts";
import { type PayloadState, verifyPayloadFiles } from "./evidence-payloads.ts";
import { verifyPolicyFiles } from "./evidence-policies.ts";
import { FINDINGS, type Finding, type Report } from "./finding.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { formatEventGroup } from "./join.ts";
import { type LeafRange, leafHash } from "./merkle.ts";
import type { CertificateVerifier } from "./ports.ts";
import { eventsOfRange } from "./range-events.ts";
import { parseRangeProof, verifyRange } from "./range-proof.ts";
import type { UnverifiedRecord } from "./record.ts";
import {
  isShardSuccessor,
  parseShardEnd,
  parseShardStart,
  shardNameOf,
  verifyShardCheckpoint,
  vkeyFor,
} from "./shard.ts";
import { parseVkey } from "./signed-note.ts";
import { SvidDirectory } from "./svid-directory.ts";
import type { TlogPolicy } from "./tlog-policy.ts";
import { parseTlogProof } from "./tlog-proof.ts";

/** A tree that entries are proven in. */
interface BundleHead extends UnverifiedHead, WitnessedCheckpoint {
  /** Key that signed it. */
  readonly vkey: string;
  /** Key of the shard that its last entry names, when the bundle has that and it is the end of a shard; null otherwise. */
  readonly next: string | null;
}

const SERVER_ID = /^spiffe:\/\/[^/]+\/trustwarden\/server\/[^/]+$/;

/** Whom the auditor trusts, from a place other than the bundle. */
export interface BundleTrust {
  /** The log's key, and which witnesses have to have signed. */
  readonly policy: TlogPolicy;
  readonly certificates: CertificateVerifier;
  /** A checkpoint that the auditor holds, and asks the log to have grown out of; null without one. */
  readonly earlier: string | null;
}

/** What a bundle turned out to show. */
export interface BundleReport {
  readonly manifest: EvidenceManifest;
  readonly checkpoint: Checkpoint;
  /** Of the auditor's witnesses. */
  readonly cosignatures: readonly Cosignature[];
  readonly entries: number;
  /** Signatures of records that verified with an SVID that chains to a trust root. */
  readonly signatures: number;
  readonly events: readonly EventAnswer[];
  /** How many policies decided, and how many of them are in the bundle, code and data. */
  readonly policies: { readonly named: number; readonly held: number };
  /** What the log grew out of without being rewritten; null when the bundle does not show it. */
  readonly earlier: EarlierCheckpoint | null;
  /** Payloads that are here and open what was committed to, or were erased; by event id. */
  readonly payloads: ReadonlyMap<string, PayloadState>;
  /** Gaps and contradictions that somebody must explain; the bundle is what was logged all the same. */
  readonly alarms: readonly Finding[];
}

/**
 * Proves a bundle and answers the three questions about its events.
 *
 * @throws TrustWardenError `evidence_bundle_invalid` with the place, `checkpoint_malformed`, `checkpoint_untrusted`,
 *   `checkpoint_unwitnessed`, `proof_malformed`, `proof_invalid`.
 */
export function verifyEvidenceBundle(bundle: OpenedBundle, trust: BundleTrust): BundleReport {
  const heads = verifyHeads(bundle, trust.policy);
  const { checkpoint, cosignatures } = heads.newest;
  requireInLog(bundle, heads.all);
  const marks = requireShardStarts(bundle, heads);
  const earlier = verifyGrowth(bundle, { heads: heads.all, held: trust.earlier });
  const findings: Finding[] = [];
  const report: Report = (finding) => findings.push({ ...finding, severity: FINDINGS[finding.code] });
  if (trust.earlier !== null && earlier === null)
    report({
      code: "earlier_checkpoint_missing",
      place: "checkpoint.prev",
      detail: "nothing leads from yours to this log",
    });
  const svids = new SvidDirectory(trust.certificates);
  const auditor = new RecordAuditor({ svids, report, isWhole: false });
  const records = new Map<number, UnverifiedRecord>();
  for (const [index, entry] of bundle.entries) {
    if (marks.has(index)) continue;
    const record = auditor.add(index, entry);
    if (record !== null) records.set(index, record);
  }
  auditor.finish();
  auditCounts(bundle, records, report);
  const damage = findings.find(({ severity }) => severity === "damage");
  if (damage !== undefined) throw invalid(damage.code, { place: damage.place, detail: damage.detail });
  requireWholeEvents(bundle, records);
  requireShown(bundle, records);
  requireManifestSigned(bundle, svids);
  const held = verifyPolicyFiles(bundle.files);
  const named = new Set([...records.values()].flatMap(policyOf));
  return {
    manifest: bundle.unverifiedManifest,
    checkpoint,
    cosignatures,
    entries: bundle.entries.size,
    signatures: auditor.signatures,
    events: answerEvents(bundle.list.events, records),
    earlier,
    payloads: verifyPayloadFiles(bundle, records),
    policies: { named: named.size, held: [...named].filter((digest) => held.has(digest)).length },
    alarms: findings,
  };
}

function policyOf({ unverified }: UnverifiedRecord): readonly string[] {
  return unverified.kind === "decision" ? [unverified.value.policy.bundle_sha256] : [];
}

/** Each tree under the auditor's policy; that the manifest names the newest keeps its words honest. */
function verifyHeads(
  bundle: OpenedBundle,
  policy: TlogPolicy,
): { readonly all: readonly BundleHead[]; readonly newest: BundleHead; readonly ledger: string } {
  const all = followHeads(bundle, policy);
  const newest = all.at(-1);
  const { vkey, size, root } = bundle.unverifiedManifest.log;
  const log = policy.logs.find((known) => known.vkey === vkey);
  if (
    log === undefined ||
    newest === undefined ||
    size !== newest.checkpoint.size ||
    root !== encodeBase64(newest.checkpoint.root)
  )
    throw invalid("manifest", { detail: "the manifest names another tree than the checkpoint" });
  const { name: ledger } = log.key;
  for (const { first, checkpoint } of all)
    if ((shardNameOf(ledger, checkpoint.origin) === null) !== (first === 0))
      throw invalid("shard", { place: checkpoint.origin, detail: "begins elsewhere" });
  return { all, newest, ledger };
}

/**
 * The trees from the auditor's key on: the last entry of a shard may name another key for the next. That this entry is in
 * that tree is shown like of any other, and nothing is believed of a bundle in which one is not.
 */
function followHeads({ files, entries }: OpenedBundle, policy: TlogPolicy): readonly BundleHead[] {
  const heads: BundleHead[] = [];
  let key: string | undefined;
  for (const head of unverifiedHeadsOf(files)) {
    const vkey = vkeyUnder(policy, originOfNote(head.note), key);
    const verified = verifyWitnessedCheckpoint(head.note, policy, vkey);
    const last = entries.get(head.first + verified.checkpoint.size - 1);
    const next = last === undefined ? null : parseShardEnd(last);
    heads.push({ ...head, ...verified, vkey, next });
    key = next ?? vkey;
  }
  return heads;
}

function requireInLog(
  { files, entries, unverifiedManifest }: OpenedBundle,
  heads: readonly BundleHead[],
): void {
  const { range } = unverifiedManifest;
  const isInRange = (index: number) => range !== null && index >= range.start && index < range.end;
  if (range !== null) requireRange({ files, entries }, { range, heads });
  for (const [index, entry] of entries) {
    const head = heads.findLast(({ first }) => first <= index);
    // A shard is shown by its beginning, also where that lies in the range: which tree it is in must not be open.
    if (isInRange(index) && (index === 0 || head?.first !== index)) continue;
    const claim = parseTlogProof(parseUtf8(fileOf(files, formatProofPath(index))));
    if (head === undefined || claim.index !== index - head.first || claim.checkpoint !== head.note)
      throw invalid("proof", { place: `entry ${index}`, detail: "a proof of another entry or tree" });
    const { size, root } = head.checkpoint;
    verifyInclusion({ index: claim.index, size, leaf: leafHash(entry), proof: claim.proof, root });
  }
}

/** The range is whole in each shard that it touches, and the shards that it touches follow one another. */
function requireRange(
  { files, entries }: Pick<OpenedBundle, "files" | "entries">,
  { range, heads }: { readonly range: LeafRange; readonly heads: readonly BundleHead[] },
): void {
  let next = range.start;
  for (const { first, checkpoint, rangePath } of heads) {
    const { size, root } = checkpoint;
    if (next < first || next >= Math.min(range.end, first + size)) continue;
    const part = { start: next - first, end: Math.min(range.end - first, size) };
    const { start, end, proof } = parseRangeProof(parseUtf8(fileOf(files, rangePath)));
    if (start !== part.start || end !== part.end)
      throw invalid("range", { detail: "a proof of another range" });
    const leaves = [...entries]
      .filter(([index]) => index >= first + start && index < first + end)
      .map(([, entry]) => leafHash(entry));
    verifyRange({ start, end, size, leaves, proof, root });
    next = first + end;
  }
  if (next !== range.end) throw invalid("range", { detail: "a proof of another range" });
}

/**
 * Each shard but the first begins where it says, by its own entry 0, which is in its tree like any other entry, and behind
 * the shard whose final checkpoint that is; and it is the one that the shard before names, where the bundle has that one's end.
 *
 * @returns the indexes of entries that are no records: the beginnings of shards, and their ends.
 */
function requireShardStarts(
  { entries }: OpenedBundle,
  { all, ledger }: { readonly all: readonly BundleHead[]; readonly ledger: string },
): ReadonlySet<number> {
  const marks = new Set<number>();
  for (const [at, head] of all.entries()) {
    const { first, checkpoint } = head;
    if (head.next !== null) {
      if (!isNamed(head, all[at + 1]))
        throw invalid("shard", { place: checkpoint.origin, detail: "names another shard than follows" });
      marks.add(first + checkpoint.size - 1);
    }
    if (first === 0) continue;
    const start = parseShardStart(entries.get(first) ?? new Uint8Array());
    if (start?.first !== first)
      throw invalid("shard", { place: checkpoint.origin, detail: "begins elsewhere" });
    const before = all[at - 1];
    // A shard between two that are here has the key of the later one: a bundle brings along every end that changes it.
    const isBefore = before?.checkpoint.origin === originOfNote(start.note);
    const ended = verifyShardCheckpoint(start.note, vkeyFor(isBefore ? before.vkey : head.vkey, ledger));
    if (!isBehind(head, { ended, ledger, before }))
      throw invalid("shard", { place: checkpoint.origin, detail: "does not follow the shard before" });
    marks.add(first);
  }
  return marks;
}

/** Whether what a shard's end names is a later shard, and the next one here, where that begins right behind. */
function isNamed({ first, checkpoint, next }: BundleHead, after: BundleHead | undefined): boolean {
  if (next === null) return false;
  const { name } = parseVkey(next);
  if (!isShardSuccessor(checkpoint.origin, name)) return false;
  if (after === undefined) return true;
  const end = first + checkpoint.size;
  return after.first === end
    ? after.vkey === next
    : after.first > end && isShardSuccessor(name, after.checkpoint.origin);
}

/** Whether a shard can follow the one that ended with a checkpoint, and that one the shard before it in the bundle. */
function isBehind(
  { first, checkpoint: { origin } }: BundleHead,
  {
    ended,
    ledger,
    before,
  }: { readonly ended: Checkpoint; readonly ledger: string; readonly before: BundleHead | undefined },
): boolean {
  const isPlaced = ended.origin === ledger ? ended.size === first : ended.size < first;
  if (!isPlaced || ended.size === 0 || !isShardSuccessor(ended.origin, origin)) return false;
  if (before === undefined) return true;
  const { size, root, origin: known } = before.checkpoint;
  if (known !== ended.origin) return before.first + size < first && isShardSuccessor(known, ended.origin);
  const isSame = size < ended.size || (size === ended.size && isEqualBytes(root, ended.root));
  return before.first + ended.size === first && isSame;
}

/** An event is shown with all its records that the bundle has, and under its own id. */
function requireWholeEvents(
  { list, unverifiedManifest, entries }: OpenedBundle,
  records: BundleRecords,
): void {
  const groups = new Map<string, number[]>();
  for (const [index, record] of records) {
    const group = formatEventGroup(record);
    groups.set(group, [...(groups.get(group) ?? []), index]);
  }
  for (const { event_id: eventId, indexes } of list.events) {
    const first = records.get(indexes[0] ?? -1);
    const group = first === undefined ? [] : (groups.get(formatEventGroup(first)) ?? []);
    if (first?.unverified.value.event_id !== eventId || group.join() !== indexes.join())
      throw invalid("event", { place: eventId, detail: "its records are not those that events.json names" });
  }
  const { events, entries: count, range, selection } = unverifiedManifest;
  if (events !== list.events.length || count !== entries.size)
    throw invalid("manifest", { detail: "other numbers" });
  if ((selection.kind === "range") !== (range !== null)) throw invalid("manifest", { detail: "range" });
}

/** Of a range every event is shown: its entries could else stand among those that verdicts rest on. */
function requireShown({ list, unverifiedManifest: { range } }: OpenedBundle, records: BundleRecords): void {
  if (range === null) return;
  const shown = new Set(list.events.map(({ indexes }) => indexes[0]));
  const hidden = eventsOfRange(records, range).find(({ indexes }) => !shown.has(indexes[0]));
  if (hidden !== undefined)
    throw invalid("event", { place: hidden.event_id, detail: "of the range, and not in events.json" });
}

/** What the selection promises to be whole is counted: the intents of each instance between two entries, or all. */
function auditCounts(
  { unverifiedManifest, list }: OpenedBundle,
  records: BundleRecords,
  report: Report,
): void {
  const { selection } = unverifiedManifest;
  if (selection.kind === "event" || selection.kind === "job") return;
  const chosen = new Set(list.events.flatMap(({ indexes }) => indexes));
  const instances = new Map<string, SequencedIntent[]>();
  for (const [index, { unverified, payloadSha256 }] of records) {
    if (unverified.kind !== "intent" || !chosen.has(index)) continue;
    const { agent, seq, prev, time } = unverified.value;
    // Many processes may hold one foreign identity, each with a count of its own.
    if (agent.spiffe_id.split("/")[2] !== unverifiedManifest.trust_domain) continue;
    const intents = instances.get(agent.spiffe_id) ?? [];
    instances.set(agent.spiffe_id, intents);
    intents.push({ index, seq, prev, payloadSha256, time });
  }
  const begin = selection.kind === "agent" && selection.since === null ? "at one" : "anywhere";
  for (const [instance, intents] of instances) auditSequences(instance, intents, report, { begin });
}

function requireManifestSigned({ envelope, unverifiedManifest }: OpenedBundle, svids: SvidDirectory): void {
  try {
    const at = Math.floor(Date.parse(unverifiedManifest.time) / 1000);
    const { spiffeId, publicKey, isForeign } = svids.verify(envelope.unverifiedKeyid, at);
    verifyEnvelope(envelope, "evidence", publicKey);
    const isOwn = !isForeign && spiffeId.split("/")[2] === unverifiedManifest.trust_domain;
    if (isOwn && SERVER_ID.test(spiffeId)) return;
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError(
      "evidence_bundle_invalid",
      { reason: "manifest", detail: cause.code },
      { cause },
    );
  }
  throw invalid("manifest", { detail: "not signed by a server of its trust domain" });
}

function invalid(
  reason: string,
  details: { readonly place?: string; readonly detail?: string } = {},
): TrustWardenError {
  return new TrustWardenError("evidence_bundle_invalid", { reason, ...details });
}
