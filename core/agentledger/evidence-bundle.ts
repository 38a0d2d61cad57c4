/**
 * What an evidence bundle holds, and how its parts are written: a manifest that a server signed, the digests of all
 * other files, a checkpoint with the policy it answers to, and entries of the log with their proofs.
 *
 * Nothing is proven here; `verify-bundle.ts` does. What the bundle says of whom to trust is never believed.
 *
 * @see docs/decisions/0031
 */
import { encodeBase64url, encodeHex, encodeUtf8, isEqualBytes, parseUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, type UnverifiedEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import { formatCanonicalJson, isJsonObject, type Json, type JsonObject, parseJsonObject } from "../json.ts";
import { type BundleFiles, encodeArchive, parseArchive } from "./archive.ts";

export const MANIFEST_FILE = "manifest.json";
export const SUMS_FILE = "SHA256SUMS";
export const CHECKPOINT_FILE = "checkpoint";
export const POLICY_FILE = "policy.txt";
export const EVENTS_FILE = "events.json";
export const RANGE_FILE = "range.proof";
export const TRUST_FILE = "trust/bundle.json";
const SHARD_CHECKPOINT_PATH = /^shards\/(0|[1-9]\d{0,15})\.checkpoint$/;

/** A list of events is longer than any other JSON that is read. */
const MAX_EVENTS_CHARS = 4_000_000;
const ENTRY_PATH = /^entries\/(0|[1-9]\d{0,15})\.json$/;

/** What was asked for. */
export interface EvidenceSelection {
  readonly kind: "event" | "agent" | "job" | "range";
  /** Event id, agent id or job; null for a time range. */
  readonly value: string | null;
  /** RFC 3339, inclusive; null without a beginning. */
  readonly since: string | null;
  /** RFC 3339, exclusive; null without an end. */
  readonly until: string | null;
}

/** What a server says of a bundle; its signature is over this. */
export interface EvidenceManifest {
  readonly v: 1;
  /** RFC 3339 UTC with milliseconds. */
  readonly time: string;
  readonly trust_domain: string;
  readonly log: { readonly vkey: string; readonly size: number; readonly root: string };
  /** Whether the checkpoint carries the cosignatures that its policy asks for. */
  readonly witnessed: boolean;
  readonly selection: EvidenceSelection;
  /** Entries that are there without exception; null where single events were chosen. */
  readonly range: { readonly start: number; readonly end: number } | null;
  readonly events: number;
  readonly entries: number;
  /** What is left out, in words. */
  readonly withheld: readonly string[];
  /** base64url SHA-256 of `SHA256SUMS`. */
  readonly sums_sha256: string;
}

/** Log indexes of one event's records. */
export interface EventIndexes {
  readonly event_id: string;
  readonly indexes: readonly number[];
}

/** Which entries are there because of what. */
export interface EventList {
  readonly events: readonly EventIndexes[];
  /** Entries on which the verdicts about the events rest. */
  readonly support: readonly number[];
}

/** An archive whose files are those that its manifest names; who signed the manifest is not known yet. */
export interface OpenedBundle {
  readonly files: BundleFiles;
  readonly unverifiedManifest: EvidenceManifest;
  readonly envelope: UnverifiedEnvelope;
  readonly list: EventList;
  /** Entries by log index, in order. */
  readonly entries: ReadonlyMap<number, Uint8Array>;
}

/** Path of an entry. */
export function formatEntryPath(index: number): string {
  return `entries/${index}.json`;
}

/** Path of an entry's proof. */
export function formatProofPath(index: number): string {
  return `proofs/${index}.tlog-proof`;
}

/** Path of the checkpoint of a shard, by the position of its entry 0: of each shard, as soon as one is not the first. */
export function formatShardCheckpointPath(first: number): string {
  return `shards/${first}.checkpoint`;
}

/** Path of the proof of that part of a range which is in one shard. */
export function formatShardRangePath(first: number): string {
  return `shards/${first}.range.proof`;
}

/** A tree that entries of a bundle are in; nothing is verified. */
export interface UnverifiedHead {
  /** Position of the tree's entry 0 in the ledger. */
  readonly first: number;
  readonly note: string;
  /** Path of its range proof. */
  readonly rangePath: string;
}

/**
 * The trees of a bundle, oldest first, at least one: those of `shards/`, else the one of `checkpoint` alone.
 *
 * @throws TrustWardenError `evidence_bundle_malformed` when the newest is not the one of `checkpoint`.
 */
export function unverifiedHeadsOf(files: BundleFiles): readonly UnverifiedHead[] {
  const newest = parseUtf8(fileOf(files, CHECKPOINT_FILE));
  const heads = [...files].flatMap(([path, content]) => {
    const first = Number(SHARD_CHECKPOINT_PATH.exec(path)?.[1] ?? Number.NaN);
    return Number.isNaN(first)
      ? []
      : [{ first, note: parseUtf8(content), rangePath: formatShardRangePath(first) }];
  });
  if (heads.length === 0) return [{ first: 0, note: newest, rangePath: RANGE_FILE }];
  heads.sort((left, right) => left.first - right.first);
  if (heads.at(-1)?.note !== newest) throw malformed("the newest shard is not the one of the checkpoint");
  return heads;
}

/** Text of the file of digests, as `sha256sum --check` reads it. */
export function formatSums(files: BundleFiles): string {
  return [...files]
    .map(([path, content]) => `${encodeHex(sha256(content))}  ${path}\n`)
    .sort((left, right) => (left.slice(66) < right.slice(66) ? -1 : 1))
    .join("");
}

/** Text of the list of events. */
export function formatEventList({ events, support }: EventList): string {
  const json: JsonObject = {
    events: events.map(({ event_id, indexes }) => ({ event_id, indexes: [...indexes] })),
    support: [...support],
  };
  return formatCanonicalJson(json);
}

/**
 * The bundle of some files.
 *
 * @param signManifest - gives the envelope of a manifest with this digest of `SHA256SUMS`.
 * @throws TrustWardenError `evidence_bundle_too_large`.
 */
export function encodeEvidenceBundle(
  files: BundleFiles,
  signManifest: (sumsSha256: string) => string,
): Uint8Array {
  const sums = encodeUtf8(formatSums(files));
  const manifest = encodeUtf8(signManifest(encodeBase64url(sha256(sums))));
  return encodeArchive(new Map([...files, [SUMS_FILE, sums], [MANIFEST_FILE, manifest]]));
}

/** @throws TrustWardenError `evidence_bundle_malformed`. */
export function openEvidenceBundle(bytes: Uint8Array): OpenedBundle {
  const files = parseArchive(bytes);
  try {
    const envelope = parseEnvelope(parseUtf8(fileOf(files, MANIFEST_FILE)));
    const unverifiedManifest = parseManifest(parseUnverifiedPayload(envelope));
    requireSums(files, unverifiedManifest);
    const list = parseEventList(parseUtf8(fileOf(files, EVENTS_FILE)));
    const entries = entriesOf(files);
    requireListed(list, entries);
    return { files, envelope, unverifiedManifest, list, entries };
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.code === "evidence_bundle_malformed") throw cause;
    throw new TrustWardenError("evidence_bundle_malformed", { reason: cause.code }, { cause });
  }
}

/** Content of a file that every bundle has. @throws TrustWardenError `evidence_bundle_malformed`. */
export function fileOf(files: BundleFiles, path: string): Uint8Array {
  const content = files.get(path);
  if (content === undefined) throw malformed(`${path} is missing`);
  return content;
}

function requireSums(files: BundleFiles, { sums_sha256: digest }: EvidenceManifest): void {
  const rest = new Map(files);
  rest.delete(MANIFEST_FILE);
  rest.delete(SUMS_FILE);
  const sums = fileOf(files, SUMS_FILE);
  if (!isEqualBytes(encodeUtf8(formatSums(rest)), sums))
    throw malformed("a file is not what SHA256SUMS says");
  if (encodeBase64url(sha256(sums)) !== digest) throw malformed("SHA256SUMS is not what the manifest says");
}

function entriesOf(files: BundleFiles): ReadonlyMap<number, Uint8Array> {
  const entries = [...files].flatMap(([path, content]) => {
    const index = ENTRY_PATH.exec(path)?.[1];
    return index === undefined ? [] : [{ index: Number(index), content }];
  });
  entries.sort((left, right) => left.index - right.index);
  return new Map(entries.map(({ index, content }) => [index, content]));
}

/** Every entry is there for a reason, and each reason is there. */
function requireListed({ events, support }: EventList, entries: ReadonlyMap<number, Uint8Array>): void {
  const named = [...events.flatMap(({ indexes }) => indexes), ...support];
  const isSame = named.length === entries.size && new Set(named).size === named.length;
  if (!isSame || !named.every((index) => entries.has(index)))
    throw malformed("entries that events.json does not name");
  if (events.length === 0) throw malformed("no event");
}

function parseManifest(json: JsonObject): EvidenceManifest {
  const fields = new Fields(json, "evidence_bundle_malformed");
  const log = fields.object("log");
  const selection = fields.object("selection");
  const range = json.range === null ? fields.null("range") : parseRange(fields.object("range"));
  const manifest: EvidenceManifest = {
    v: fields.version(),
    time: fields.time("time"),
    trust_domain: fields.text("trust_domain"),
    log: { vkey: log.text("vkey"), size: log.integer("size"), root: log.text("root") },
    witnessed: fields.boolean("witnessed"),
    selection: {
      kind: selection.oneOf("kind", ["event", "agent", "job", "range"]),
      value: selection.textOrNull("value"),
      since: selection.textOrNull("since"),
      until: selection.textOrNull("until"),
    },
    range,
    events: fields.integer("events"),
    entries: fields.integer("entries"),
    withheld: fields.texts("withheld"),
    sums_sha256: fields.digest("sums_sha256"),
  };
  for (const part of [log, selection, fields]) part.end();
  return manifest;
}

function parseRange(range: Fields): NonNullable<EvidenceManifest["range"]> {
  const value = { start: range.integer("start"), end: range.integer("end") };
  range.end();
  return value;
}

function parseEventList(text: string): EventList {
  const json = parseJsonObject(text, MAX_EVENTS_CHARS);
  const { events, support, ...rest } = json;
  const isCanonical = formatCanonicalJson(json) === text && Object.keys(rest).length === 0;
  if (!isCanonical || !Array.isArray(events)) throw malformed(EVENTS_FILE);
  return { events: events.map(parseEventIndexes), support: parseIndexes(support) };
}

function parseEventIndexes(value: Json): EventIndexes {
  if (!isJsonObject(value) || typeof value.event_id !== "string") throw malformed(EVENTS_FILE);
  const indexes = parseIndexes(value.indexes);
  if (Object.keys(value).length !== 2 || indexes.length === 0) throw malformed(EVENTS_FILE);
  return { event_id: value.event_id, indexes };
}

function parseIndexes(value: Json | undefined): readonly number[] {
  if (!Array.isArray(value)) throw malformed(EVENTS_FILE);
  return value.map((index) => {
    if (typeof index !== "number" || !Number.isSafeInteger(index) || index < 0) throw malformed(EVENTS_FILE);
    return index;
  });
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("evidence_bundle_malformed", { reason });
}
