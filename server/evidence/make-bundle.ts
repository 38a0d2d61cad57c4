/**
 * Makes an evidence bundle: chooses the events, collects what they rest on, proves every entry under one checkpoint,
 * and signs the manifest.
 *
 * @see docs/decisions/0031
 */
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import {
  CHECKPOINT_FILE,
  EVENTS_FILE,
  type EvidenceManifest,
  type EvidenceSelection,
  encodeEvidenceBundle,
  formatEntryPath,
  formatEventList,
  formatProofPath,
  formatShardCheckpointPath,
  formatShardRangePath,
  POLICY_FILE,
  RANGE_FILE,
  TRUST_FILE,
} from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { policyFilesOf } from "@trustwarden/core/agentledger/evidence-policies.ts";
import { formatJobName, type JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type { LeafRange } from "@trustwarden/core/agentledger/merkle.ts";
import type { EventFilter } from "@trustwarden/core/agentledger/query-index.ts";
import { eventsOfRange } from "@trustwarden/core/agentledger/range-events.ts";
import { formatRangeProof } from "@trustwarden/core/agentledger/range-proof.ts";
import { parseRecord, type UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import { isShardMark } from "@trustwarden/core/agentledger/shard.ts";
import { formatTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { TreeReader } from "@trustwarden/core/agentledger/tree-reader.ts";
import { encodeBase64, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import type { Services } from "../http/services.ts";
import { collectEntries, collectEvents, type EvidenceSource } from "./collect.ts";
import { readFixedFiles } from "./fixed-files.ts";
import { findEarlier, proveGrowth } from "./growth.ts";
import { type Head, headsOver } from "./heads.ts";
import { erasuresOf, openPayloads } from "./payloads.ts";

/** What a bundle without payloads does not hold. */
const WITHHELD =
  "parameters, requests and results: the log holds salted commitments to them, the salts are with the agents and services";

/** Which events, for whom. */
export interface EvidenceRequest extends EvidenceSelection {
  /** Owner whose subtree it must be in; undefined for operators. */
  readonly within: string | undefined;
  /** A checkpoint that somebody holds, from which on the log is to be shown not to have been rewritten; null without one. */
  readonly earlier: string | null;
  /** Whether what was kept of the events' requests and answers comes along. */
  readonly hasPayloads: boolean;
}

/**
 * Bytes of the bundle.
 *
 * @throws TrustWardenError `not_found` without any event, `evidence_bundle_too_large`, `ledger_corrupt`,
 *   `ledger_unavailable`.
 */
export async function makeEvidenceBundle(services: Services, request: EvidenceRequest): Promise<Uint8Array> {
  const { events: queries, ledger } = services;
  const source: EvidenceSource = {
    search: (filter, page) => queries.search(filter, page),
    readEntry: (index) => ledger.log.readEntry(index),
  };
  const chosen = await chooseEvents(source, request);
  const range = request.kind === "range" ? rangeOf(chosen) : null;
  const indexes = range === null ? chosen.flatMap((event) => event.indexes) : numbersOf(range);
  const also = [
    { about: services.serverSvid().svidSha256 },
    ...(request.hasPayloads ? erasuresOf(chosen) : []),
  ];
  const entries = new Map(await collectEntries(source, indexes, also));
  const earlier = request.earlier === null ? null : findEarlier(ledger.log, request.earlier);
  const heads = await headsOver(services, { entries, earlier });
  const head = heads.at(-1) ?? never();
  const files = await proveEntries(services, { entries, range, heads });
  files.set(CHECKPOINT_FILE, encodeUtf8(head.note));
  if (earlier !== null)
    for (const [path, text] of await proveGrowth(earlier, heads)) files.set(path, encodeUtf8(text));
  const events =
    range === null
      ? chosen.map(({ event_id, indexes: own }) => ({ event_id, indexes: own }))
      : eventsOfRange(recordsOf(entries), range);
  const named = new Set(events.flatMap((event) => event.indexes));
  const support = [...entries.keys()]
    .filter((index) => !named.has(index))
    .sort((left, right) => left - right);
  const missing = putPolicies(files, { entries, held: services.policyMaterials() });
  const kept = request.hasPayloads
    ? await openPayloads(services.payloads, { events, records: recordsOf(entries) })
    : null;
  for (const [path, content] of kept?.files ?? []) files.set(path, content);
  files.set(EVENTS_FILE, encodeUtf8(formatEventList({ events, support })));
  const { kind, value, since, until } = request;
  return encodeEvidenceBundle(files, (sumsSha256) => {
    const manifest: EvidenceManifest = {
      v: 1,
      time: formatTime(services.clock.nowMs()),
      trust_domain: services.trustDomain,
      log: { vkey: ledger.log.vkey, size: head.checkpoint.size, root: encodeBase64(head.checkpoint.root) },
      witnessed: heads.every(({ isWitnessed }) => isWitnessed),
      selection: { kind, value, since, until },
      range,
      events: events.length,
      entries: entries.size,
      withheld: [...(kept?.withheld ?? [WITHHELD]), ...missing],
      sums_sha256: sumsSha256,
    };
    const { log, selection, withheld } = manifest;
    return ledger.issueManifest({
      ...manifest,
      log: { ...log },
      selection: { ...selection },
      range: range && { ...range },
      withheld: [...withheld],
    });
  });
}

async function chooseEvents(
  source: EvidenceSource,
  request: EvidenceRequest,
): Promise<readonly JoinedEvent[]> {
  const found = await collectEvents(source, filterOf(request));
  // Of several events with one id the oldest: agents choose their ids, and one may copy another's.
  const chosen = request.kind === "event" ? found.slice(0, 1) : found;
  if (chosen.length === 0) throw new TrustWardenError("not_found");
  return chosen;
}

/** Adds the policies that decided, as far as they are in force still; says of the others that they are not. */
function putPolicies(
  files: Map<string, Uint8Array>,
  {
    entries,
    held,
  }: {
    readonly entries: ReadonlyMap<number, Uint8Array>;
    readonly held: ReturnType<Services["policyMaterials"]>;
  },
): readonly string[] {
  const named = new Map<string, string>();
  for (const { unverified } of recordsOf(entries).values())
    if (unverified.kind === "decision")
      named.set(unverified.value.policy.bundle_sha256, unverified.value.policy.name);
  return [...named].flatMap(([digest, name]) => {
    const found = policyFilesOf(digest, held);
    for (const [path, content] of found) files.set(path, content);
    return found.size > 0 ? [] : [`policy ${name} @ ${digest}: not in force here any more`];
  });
}

/** In the order of the log. */
function recordsOf(entries: ReadonlyMap<number, Uint8Array>): ReadonlyMap<number, UnverifiedRecord> {
  const sorted = [...entries]
    .filter(([, entry]) => !isShardMark(entry))
    .sort(([left], [right]) => left - right);
  return new Map(sorted.map(([index, entry]) => [index, parseRecord(entry)]));
}

function filterOf({ kind, value, since, until, within }: EvidenceRequest): EventFilter {
  const times = { sinceMs: millisecondsOf(since), untilMs: millisecondsOf(until), within };
  switch (kind) {
    case "event":
      return { within, eventId: value ?? "" };
    case "agent":
      // Every decision about a descendant names its ancestors.
      return { ...times, agent: value ?? "" };
    case "job":
      return { ...times, agent: formatJobName(value ?? "") };
    case "range":
      return times;
  }
}

function millisecondsOf(time: string | null): number | undefined {
  return time === null ? undefined : Date.parse(time);
}

/** From the first record of the first event to the last of the last. */
function rangeOf(events: readonly JoinedEvent[]): { readonly start: number; readonly end: number } {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const { indexes } of events) {
    start = Math.min(start, ...indexes);
    end = Math.max(end, ...indexes.map((index) => index + 1));
  }
  return { start, end };
}

function* numbersOf({ start, end }: { readonly start: number; readonly end: number }): Generator<number> {
  for (let index = start; index < end; index += 1) yield index;
}

function never(): never {
  throw new Error("a bundle has entries, and each is in a shard");
}

/** As the server states it, for comparison with the auditor's own. */
function policyOf({ ledger }: Services): string {
  return ledger.witnessPolicy ?? `log ${ledger.log.vkey}\nquorum none\n`;
}

async function proveEntries(
  services: Services,
  {
    entries,
    range,
    heads,
  }: {
    readonly entries: ReadonlyMap<number, Uint8Array>;
    readonly range: LeafRange | null;
    readonly heads: readonly Head[];
  },
): Promise<Map<string, Uint8Array>> {
  const files = new Map(readFixedFiles());
  files.set(POLICY_FILE, encodeUtf8(policyOf(services)));
  files.set(TRUST_FILE, encodeUtf8(formatTrustBundle(services.authority().bundle)));
  // Of a ledger that is in its first shard, a bundle says nothing of shards.
  const isSharded = heads.some(({ shard }) => shard.first > 0);
  for (const [index, entry] of entries) files.set(formatEntryPath(index), entry);
  for (const head of heads) {
    const { first } = head.shard;
    if (isSharded) files.set(formatShardCheckpointPath(first), encodeUtf8(head.note));
    const rangePath = isSharded ? formatShardRangePath(first) : RANGE_FILE;
    const proofs = await proveIn(head, { positions: entries.keys(), range, rangePath });
    for (const [path, text] of proofs) files.set(path, encodeUtf8(text));
  }
  return files;
}

/** Proofs of the entries that are in one shard, by path: one for the range, and one for each other entry and the shard's beginning. */
async function proveIn(
  { shard: { first, reader }, note, checkpoint: { size } }: Head,
  {
    positions,
    range,
    rangePath,
  }: {
    readonly positions: Iterable<number>;
    readonly range: LeafRange | null;
    readonly rangePath: string;
  },
): Promise<ReadonlyMap<string, string>> {
  const tree = new TreeReader(reader, size);
  const proofs = new Map<string, string>();
  for (const position of positions) {
    const index = position - first;
    if (index < 0 || index >= size) continue;
    const isInRange = range !== null && position >= range.start && position < range.end;
    if (isInRange && (position !== first || first === 0)) continue;
    const proof = await tree.readInclusionProof(index, size);
    proofs.set(formatProofPath(position), formatTlogProof({ index, proof, checkpoint: note }));
  }
  if (range === null) return proofs;
  const part = { start: Math.max(0, range.start - first), end: Math.min(size, range.end - first) };
  if (part.start >= part.end) return proofs;
  const proof = await tree.readRangeProof(part, size);
  return proofs.set(rangePath, formatRangeProof({ ...part, proof }));
}
