/**
 * Which shard a log names as the next one, and that this one begins with the end of the first: for whoever sees a log's tiles
 * and perhaps none of its entries.
 *
 * Nobody is asked for a name. The last leaf of a signed tree is the digest of an end that names one shard with one key; names
 * that are possible are few, so each is held against it with the key of this shard. Another key nobody can guess: somebody has
 * to show it, and is believed because its digest is that leaf. A log that goes on has another leaf there.
 */
import { isEqualBytes } from "../bytes.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { leafHash } from "./merkle.ts";
import type { LogReader } from "./ports.ts";
import {
  compareShardNames,
  encodeShardEnd,
  encodeShardStart,
  isComingShard,
  isShardSuccessor,
  type ShardName,
  type ShardPlace,
  shardNameOf,
  shardOrigin,
} from "./shard.ts";
import { formatVkey, type NoteKey, ownNoteOf, parseVkey, rawEd25519Key } from "./signed-note.ts";
import { TreeReader } from "./tree-reader.ts";

/** No ledger had shards before. */
const FIRST_YEAR = 2026;
const QUARTERS = 4;
/** Shards of one quarter, all that there are names for: what is not looked for could be hidden behind its number. */
const MAX_COUNT = 999;

/** A shard as far as it was followed. */
interface EndedShard {
  readonly place: ShardPlace;
  readonly head: Checkpoint;
}

/**
 * The shard that the last entry of a tree names; null for a log that goes on, and where it names a key that nobody shows.
 *
 * @param options.ledger - name of the ledger's first log.
 * @param options.shown - vkeys of shards as somebody lists them; nothing of them is believed.
 * @param options.nowMs - Unix milliseconds; shards of later quarters are not looked for.
 * @throws TrustWardenError `ledger_corrupt`, `not_found`, `proof_invalid` when the tiles do not give the head.
 */
export async function findNextShard(
  reader: LogReader,
  {
    place,
    head,
    ledger,
    shown,
    nowMs,
  }: EndedShard & { readonly ledger: string; readonly shown: readonly string[]; readonly nowMs: number },
): Promise<ShardPlace | null> {
  if (head.size === 0) return null;
  const index = head.size - 1;
  const tree = new TreeReader(reader, head.size);
  const last = await tree.readLeafHash(index);
  const proof = await tree.readInclusionProof(index, head.size);
  verifyInclusion({ index, size: head.size, leaf: last, proof, root: head.root });
  const first = place.first + head.size;
  const isNamed = (vkey: string) => isEqualBytes(leafHash(encodeShardEnd(vkey)), last);
  const key = rawEd25519Key(parseVkey(place.vkey).publicKey);
  for (const name of namesAfter(place.name, nowMs)) {
    const vkey = formatVkey(shardOrigin(ledger, name), key);
    if (isNamed(vkey)) return { name, vkey, first };
  }
  const vkey = shown.find(isNamed);
  if (vkey === undefined) return null;
  const { name: origin } = parseVkey(vkey);
  const isNext = isShardSuccessor(shardOrigin(ledger, place.name), origin);
  return isNext ? { name: shardNameOf(ledger, origin), vkey, first } : null;
}

/**
 * @param options.note - final checkpoint of the shard before, cosigned or not; `before` - that shard's key.
 * @throws TrustWardenError `proof_invalid` unless entry 0 of a shard is the end of the one before; what reading tiles throws.
 */
export async function requireBegunBehind(
  reader: LogReader,
  { place, head, note, before }: EndedShard & { readonly note: string; readonly before: NoteKey },
): Promise<void> {
  const proof = await new TreeReader(reader, head.size).readInclusionProof(0, head.size);
  const leaf = leafHash(encodeShardStart({ first: place.first, note: ownNoteOf(note, before) }));
  verifyInclusion({ index: 0, size: head.size, leaf, proof, root: head.root });
}

/** Names that can follow, oldest first. */
function namesAfter(last: ShardName, nowMs: number): readonly string[] {
  const now = new Date(nowMs).getUTCFullYear();
  const names: string[] = [];
  for (let year = FIRST_YEAR; year <= now; year += 1)
    for (let quarter = 1; quarter <= QUARTERS; quarter += 1)
      for (let count = 1; count <= MAX_COUNT; count += 1)
        names.push(count === 1 ? `${year}q${quarter}` : `${year}q${quarter}.${count}`);
  const isPossible = (name: string) =>
    (last === null || compareShardNames(name, last) > 0) && !isComingShard(name, nowMs);
  return names.filter(isPossible);
}
