/**
 * Reads the shards of a ledger one after the other, as their ends name them, and reports where the chain does not hold.
 *
 * A shard that names a next one must be followed by it: whoever leaves shards out at the end shows a ledger whose last
 * shard has ended, which is a finding.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { auditTiles } from "./audit-tiles.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import type { Report } from "./finding.ts";
import type { LogReader } from "./ports.ts";
import {
  parseShardEnd,
  parseShardStart,
  type ShardName,
  type ShardPlace,
  shardFolder,
  shardNameOf,
} from "./shard.ts";
import { parseVkey } from "./signed-note.ts";

/** A shard whose checkpoint verified; its entries follow. */
export interface AuditedShard extends ShardPlace {
  readonly reader: LogReader;
  readonly checkpoint: Checkpoint;
}

/** An entry that should be a record, by its position in the ledger. */
interface AuditedEntry {
  readonly index: number;
  readonly entry: Uint8Array;
}

type Step = ({ readonly kind: "shard" } & AuditedShard) | ({ readonly kind: "entry" } & AuditedEntry);

/**
 * All shards and their entries, in order.
 *
 * @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted` for the first shard's checkpoint; what is wrong
 *   with later ones is reported.
 */
export async function* auditShards(
  source: {
    readonly reader: LogReader;
    readonly vkey: string;
    readonly openShard?: (name: ShardName) => LogReader;
  },
  report: Report,
): AsyncGenerator<Step, void, void> {
  const ledger = parseVkey(source.vkey).name;
  let place: ShardPlace | null = { name: null, vkey: source.vkey, first: 0 };
  let before: AuditedShard | null = null;
  const names = new Set<ShardName>();
  while (place !== null) {
    names.add(place.name);
    const shard = await openShard(place, source, report);
    if (shard === null) return;
    yield { kind: "shard", ...shard };
    let next: string | null = null;
    for await (const { index, entry } of entriesOf(shard, report)) {
      const position = shard.first + index;
      if (index === shard.checkpoint.size - 1) next = endOf(entry, { position, report });
      const isStart = index === 0 && isStartOf(shard, { before, entry });
      if (next === null && !isStart) yield { kind: "entry", index: position, entry };
    }
    place = next === null ? null : placeAfter(shard, { next, ledger, names, report });
    before = shard;
  }
}

async function openShard(
  place: ShardPlace,
  {
    reader,
    openShard: open,
  }: { readonly reader: LogReader; readonly openShard?: (name: ShardName) => LogReader },
  report: Report,
): Promise<AuditedShard | null> {
  if (place.name === null) return { ...place, reader, checkpoint: await readHead(reader, place.vkey) };
  try {
    const own = open?.(place.name);
    if (own !== undefined) return { ...place, reader: own, checkpoint: await readHead(own, place.vkey) };
  } catch (error) {
    // Damage is what an audit is for: it is reported, and what came before is checked all the same.
    if (!(error instanceof TrustWardenError)) throw error;
  }
  const { name } = place;
  report({
    code: "shard_missing",
    place: shardFolder(name),
    detail: "the shard before names it, and it is not here",
  });
  return null;
}

async function readHead(reader: LogReader, vkey: string): Promise<Checkpoint> {
  const note = await reader.readCheckpoint();
  if (note === null) throw new TrustWardenError("checkpoint_malformed", { reason: "missing" });
  return verifyCheckpoint(note, vkey);
}

/** Entries by their index in the shard; what is wrong with its files is reported below its folder. */
async function* entriesOf(
  { name, reader, checkpoint }: AuditedShard,
  report: Report,
): AsyncGenerator<AuditedEntry, void, void> {
  const below: Report = (finding) => report({ ...finding, place: `${shardFolder(name)}${finding.place}` });
  for await (const { first, entries } of auditTiles(reader, { head: checkpoint, report: below }))
    for (const [offset, entry] of entries.entries()) yield { index: first + offset, entry };
}

/** Key of the next shard; null where the log goes on, and, reported, where its end names nobody. */
function endOf(
  entry: Uint8Array,
  { position, report }: { readonly position: number; readonly report: Report },
): string | null {
  try {
    return parseShardEnd(entry);
  } catch (error) {
    // It is then read as a record, which it is not, and that is reported too.
    if (!(error instanceof TrustWardenError)) throw error;
    report({ code: "shard_mismatch", place: `entry ${position}`, detail: "ends for what is no shard" });
    return null;
  }
}

/** Whether an entry is the final checkpoint of the shard before. */
function isStartOf(
  { first }: AuditedShard,
  { before, entry }: { readonly before: AuditedShard | null; readonly entry: Uint8Array },
): boolean {
  const start = parseShardStart(entry);
  if (before === null || start === null || start.first !== first) return false;
  try {
    const { size, root } = verifyCheckpoint(start.note, before.vkey);
    return size === before.checkpoint.size && isEqualBytes(root, before.checkpoint.root);
  } catch (error) {
    // It is then read as a record, which it is not, and that is reported.
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

function placeAfter(
  { first, checkpoint }: AuditedShard,
  {
    next,
    ledger,
    names,
    report,
  }: {
    readonly next: string;
    readonly ledger: string;
    readonly names: ReadonlySet<ShardName>;
    readonly report: Report;
  },
): ShardPlace | null {
  try {
    const name = shardNameOf(ledger, parseVkey(next).name);
    if (!names.has(name)) return { name, vkey: next, first: first + checkpoint.size };
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
  }
  const place = `entry ${first + checkpoint.size - 1}`;
  report({ code: "shard_mismatch", place, detail: "names a shard that cannot follow" });
  return null;
}
