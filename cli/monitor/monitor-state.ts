/**
 * What a monitor knows between two runs: the last checkpoint that it verified, what going on from there needs, and the
 * promises that are still open. And the evidence that it keeps.
 *
 * A state is checked when it is read: an edge that does not give the root of its checkpoint is no state.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { Followed } from "@trustwarden/core/agentledger/monitor.ts";
import {
  type ShardName,
  type ShardPlace,
  shardNameOf,
  shardOrigin,
  verifyShardCheckpoint,
  vkeyFor,
} from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { rootOfEdge, type TreeEdge } from "@trustwarden/core/agentledger/tree-edge.ts";
import { encodeBase64, encodeHex, encodeUtf8, isEqualBytes, parseBase64 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { readTextFile } from "../text-file.ts";

/** At most 255 hashes on each of a few levels, and the open promises. */
const MAX_STATE_CHARS = 16_777_216;

/** Of each kind: a log that signs something new at each look shall neither fill a disk nor leave no room for its proof. */
const MAX_EVIDENCE = 256;

/** A shard that was followed to its end. */
export interface EndedShard extends ShardPlace {
  /** Its final checkpoint. */
  readonly note: string;
}

/** What a monitor goes on from. */
export interface MonitorState {
  /** Oldest first. */
  readonly ended: readonly EndedShard[];
  /** The shard that is followed now. */
  readonly place: ShardPlace;
  readonly followed: Followed | null;
  /** Signed promises that were not due yet. */
  readonly pending: readonly string[];
}

/**
 * @param vkey - of the ledger's first log.
 * @throws TrustWardenError `config_invalid` for a file that is not the state of this log's monitor.
 */
export function readMonitorState(file: string, vkey: string): MonitorState {
  const first: ShardPlace = { name: null, vkey, first: 0 };
  if (!existsSync(file)) return { ended: [], place: first, followed: null, pending: [] };
  try {
    const json = parseJsonObject(readTextFile(file), MAX_STATE_CHARS);
    const { note, levels, pending } = json;
    // A state without keys is of a ledger with one.
    const keys = json.keys === undefined ? [] : listOf(json.keys).map(textOf);
    const ended = json.ended === undefined ? [] : parseEnded(listOf(json.ended).map(textOf), { vkey, keys });
    const key = keys[ended.length] ?? vkey;
    const place =
      typeof json.shard === "string" ? placeBehind(ended, { vkey: key, name: json.shard }) : first;
    if (note === null) return { ended, place, followed: null, pending: listOf(pending).map(textOf) };
    if (typeof note !== "string") throw new TypeError("note");
    const head = verifyCheckpoint(note, place.vkey);
    const edge: TreeEdge = {
      size: head.size,
      levels: listOf(levels).map((level) => listOf(level).map((hash) => parseBase64(textOf(hash)))),
      entries: [],
    };
    if (!isEqualBytes(rootOfEdge(edge), head.root)) throw new TypeError("edge");
    return { ended, place, followed: { note, head, edge }, pending: listOf(pending).map(textOf) };
  } catch (cause) {
    if (cause instanceof TrustWardenError && cause.code === "not_found") throw cause;
    throw new TrustWardenError(
      "config_invalid",
      { setting: file, reason: "not the state of this log" },
      { cause },
    );
  }
}

/** Replaces the state in one step. */
export function writeMonitorState(file: string, { ended, place, followed, pending }: MonitorState): void {
  if (followed === null && ended.length === 0) return;
  // The first shard has the name of the ledger.
  const { name: ledger } = parseVkey((ended[0] ?? place).vkey);
  const json: JsonObject = {
    ended: ended.map(({ note }) => note),
    shard: place.name,
    keys: [...ended, place].map((shard) => vkeyFor(shard.vkey, ledger)),
    note: followed?.note ?? null,
    levels: (followed?.edge.levels ?? []).map((level) => level.map(encodeBase64)),
    pending: [...pending],
  };
  const temporary = `${file}.new`;
  writeFileSync(temporary, JSON.stringify(json), { mode: 0o600, flush: true });
  renameSync(temporary, file);
}

/** Each final checkpoint names its own shard, and its size says where the next one begins. */
function parseEnded(
  notes: readonly string[],
  { vkey, keys }: { readonly vkey: string; readonly keys: readonly string[] },
): readonly EndedShard[] {
  const ended: EndedShard[] = [];
  for (const [at, note] of notes.entries()) {
    const key = keys[at] ?? vkey;
    const { origin } = verifyShardCheckpoint(note, key);
    const name = shardNameOf(parseVkey(vkey).name, origin);
    ended.push({ ...placeBehind(ended, { vkey: key, name }), note });
  }
  return ended;
}

function placeBehind(
  ended: readonly EndedShard[],
  { vkey, name }: { readonly vkey: string; readonly name: ShardName },
): ShardPlace {
  const last = ended.at(-1);
  const first = last === undefined ? 0 : last.first + verifyCheckpoint(last.note, last.vkey).size;
  return { name, vkey: vkeyFor(vkey, shardOrigin(parseVkey(vkey).name, name)), first };
}

/** Keeps texts as the log signed them; the directory, the same for the same texts, or null when there are many already. */
export function keepEvidence(
  directory: string,
  { code, texts }: { readonly code: string; readonly texts: Readonly<Record<string, string>> },
): string | null {
  const digest = encodeHex(sha256(encodeUtf8(JSON.stringify(texts)))).slice(0, 16);
  const folder = join(directory, `${code}-${digest}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const alike = readdirSync(directory).filter((name) => name.startsWith(`${code}-`));
  if (!existsSync(folder) && alike.length >= MAX_EVIDENCE) return null;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(texts))
    writeFileSync(join(folder, name), text, { mode: 0o600, flush: true });
  return folder;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError("list");
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== "string") throw new TypeError("text");
  return value;
}
