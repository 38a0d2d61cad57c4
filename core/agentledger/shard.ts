/**
 * Shards of a ledger: logs one after the other, each with an origin, a tree and checkpoints of its own, chained at both ends.
 *
 * The first log has the ledger's own name; the next ones are `<ledger>/<year>q<quarter>`. The last entry of a shard names
 * the next one with its key, under the old key's final checkpoint; entry 0 of the next is that final checkpoint. So a
 * shard cannot be left out, put in or begun twice without that showing in a log which others hold a checkpoint of.
 *
 * Both entries are text and no record: they stand on the log's own key, since a log goes on also when nobody has an SVID.
 * Positions of a ledger count through its shards; a shard's entry 0 has the position that it names as `first`.
 *
 * @see docs/decisions/0043
 */
import { encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import { ALGORITHM_ED25519, formatVkey, parseVkey, rawEd25519Key } from "./signed-note.ts";

const START = "trustwarden.dev/shard-start@v1";
const END = "trustwarden.dev/shard-end@v1";
/** A note with many signatures is much longer; the first shard's entries that are not marks are JSON. */
const MAX_MARK_BYTES = 65_535;
const NAME = /^([1-9]\d{3})q([1-4])(?:\.([2-9]|[1-9]\d{1,2}))?$/;
const FIRST = /^(?:0|[1-9]\d{0,15})$/;
const MONTHS_A_QUARTER = 3;

/** Which shard of a ledger: its name, or null for the log that the ledger began with. */
export type ShardName = string | null;

/** What entry 0 of a shard says. */
export interface ShardStart {
  /** Position of this entry in the ledger: how many entries all shards before it have. */
  readonly first: number;
  /** The final checkpoint of the shard before, as its key signed it. */
  readonly note: string;
}

/** A shard as others name it: where its positions begin, and the key of its checkpoints. */
export interface ShardPlace {
  readonly name: ShardName;
  readonly vkey: string;
  readonly first: number;
}

/** Origin of a shard. */
export function shardOrigin(ledger: string, name: ShardName): string {
  return name === null ? ledger : `${ledger}/${requireShardName(name)}`;
}

/** Where the files of a shard are below those of the first one. */
export function shardFolder(name: ShardName): string {
  return name === null ? "" : `shard/${requireShardName(name)}/`;
}

/** Whether a text is the name of a shard. */
export function isShardName(name: string): boolean {
  return NAME.test(name);
}

/** The older one first. */
export function compareShardNames(left: string, right: string): number {
  const [one, two] = [partsOf(left), partsOf(right)];
  return one.year - two.year || one.quarter - two.quarter || one.count - two.count;
}

/** @throws TrustWardenError `checkpoint_malformed` for what is no name of a shard. */
function requireShardName(name: string): string {
  if (!isShardName(name)) throw new TrustWardenError("checkpoint_malformed", { reason: "shard name" });
  return name;
}

/** Whether an origin is that of a shard of a ledger which is not its first. */
export function isShardOrigin(ledger: string, origin: string): boolean {
  return origin.startsWith(`${ledger}/`) && isShardName(origin.slice(ledger.length + 1));
}

/** Whether one shard's origin can come after another's of the same ledger. */
export function isShardSuccessor(origin: string, next: string): boolean {
  if (isShardOrigin(origin, next)) return true;
  const [ledger = "", name = ""] = splitOrigin(origin);
  const [nextLedger = "", nextName = ""] = splitOrigin(next);
  return (
    ledger === nextLedger &&
    isShardName(name) &&
    isShardName(nextName) &&
    compareShardNames(name, nextName) < 0
  );
}

function splitOrigin(origin: string): readonly string[] {
  const slash = origin.lastIndexOf("/");
  return [origin.slice(0, slash), origin.slice(slash + 1)];
}

/** Name of the shard with an origin. @throws TrustWardenError `checkpoint_untrusted` for one of another ledger. */
export function shardNameOf(ledger: string, origin: string): ShardName {
  if (origin === ledger) return null;
  if (isShardOrigin(ledger, origin)) return origin.slice(ledger.length + 1);
  throw new TrustWardenError("checkpoint_untrusted", { reason: "other origin" });
}

/** The quarter of an instant as a shard is named by it. @param nowMs - Unix milliseconds. */
export function quarterOf(nowMs: number): string {
  const now = new Date(nowMs);
  return `${now.getUTCFullYear()}q${Math.floor(now.getUTCMonth() / MONTHS_A_QUARTER) + 1}`;
}

/** Whether an instant's quarter is a later one than that which a shard is named by. */
export function isLaterQuarter(quarter: string, name: string): boolean {
  return compareShardNames(quarter, name.replace(/\..*$/, "")) > 0;
}

/** Whether a shard is named by a quarter that has not begun. @param nowMs - Unix milliseconds. */
export function isComingShard(name: string, nowMs: number): boolean {
  const { year, quarter } = partsOf(name);
  return isLaterQuarter(`${year}q${quarter}`, quarterOf(nowMs));
}

/** Name of a shard that begins now behind another: names only rise, also when a clock goes back. */
export function nextShardName(last: ShardName, nowMs: number): string {
  const now = quarterOf(nowMs);
  if (last === null || isLaterQuarter(now, last)) return now;
  const { year, quarter, count } = partsOf(last);
  return requireShardName(`${year}q${quarter}.${count + 1}`);
}

/** The key of a shard whose log signs with the same key as that of a vkey. */
export function vkeyFor(vkey: string, origin: string): string {
  return formatVkey(origin, rawEd25519Key(parseVkey(vkey).publicKey));
}

/** Whether two logs sign with one key, under whatever names. */
export function isSameLogKey(left: string, right: string): boolean {
  return parseVkey(left).publicKey.equals(parseVkey(right).publicKey);
}

/**
 * A checkpoint of any shard of a ledger whose key is known, and which shard that is.
 *
 * @param vkey - of the ledger's name: of its first log, or of a later key that the chain has led to.
 * @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted`.
 */
export function verifyShardCheckpoint(note: string, vkey: string): Checkpoint {
  const ledger = parseVkey(vkey).name;
  const origin = note.slice(0, Math.max(0, note.indexOf("\n")));
  return shardNameOf(ledger, origin) === null
    ? verifyCheckpoint(note, vkey)
    : verifyCheckpoint(note, vkeyFor(vkey, origin));
}

/** Whether an entry is the beginning or the end of a shard, and so no record. */
export function isShardMark(entry: Uint8Array): boolean {
  return lineOf(entry, START) !== null || lineOf(entry, END) !== null;
}

/** Entry 0 of a shard that is not the first. */
export function encodeShardStart({ first, note }: ShardStart): Uint8Array {
  return encodeUtf8(`${START}\nfirst ${first}\n\n${note}`);
}

/** What entry 0 of a shard says, nothing checked; null for any other entry. */
export function parseShardStart(entry: Uint8Array): ShardStart | null {
  const rest = lineOf(entry, START);
  const end = rest?.indexOf("\n\n") ?? -1;
  if (rest === null || end < 0) return null;
  const text = /^first (.*)$/.exec(rest.slice(0, end))?.[1] ?? "";
  const first = Number(text);
  return FIRST.test(text) && Number.isSafeInteger(first) ? { first, note: rest.slice(end + 2) } : null;
}

/** The last entry of a shard. @param vkey - of the next shard, whose origin is in it. */
export function encodeShardEnd(vkey: string): Uint8Array {
  return encodeUtf8(`${END}\nnext ${vkey}\n`);
}

/**
 * Key of the next shard that the last entry of one names; null for any other entry.
 *
 * @throws TrustWardenError `checkpoint_malformed` for an end that names what is no key of a log.
 */
export function parseShardEnd(entry: Uint8Array): string | null {
  const vkey = /^next (.+)\n$/.exec(lineOf(entry, END) ?? "")?.[1];
  if (vkey === undefined) return null;
  if (parseVkey(vkey).algorithm !== ALGORITHM_ED25519)
    throw new TrustWardenError("checkpoint_malformed", { reason: "no key of a log" });
  return vkey;
}

/** What follows the first line, when the first line is this one. */
function lineOf(entry: Uint8Array, line: string): string | null {
  const head = encodeUtf8(`${line}\n`);
  if (entry.length > MAX_MARK_BYTES || head.some((byte, index) => entry[index] !== byte)) return null;
  return new TextDecoder().decode(entry.subarray(head.length));
}

function partsOf(name: string): { readonly year: number; readonly quarter: number; readonly count: number } {
  const [, year, quarter, count = "1"] = NAME.exec(requireShardName(name)) ?? [];
  return { year: Number(year), quarter: Number(quarter), count: Number(count) };
}
