/**
 * Watching a log from outside: that it only grows, that every checkpoint anybody was shown belongs to one history, and
 * that what it promised with a signature is kept.
 *
 * Pure but for the reader, whose answers are a stranger's. A contradiction is told apart from damaged files by
 * counting again from the first leaf: only leaves that give the signed root convict.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import {
  type Acknowledgement,
  parseUnverifiedAcknowledgement,
  verifyAcknowledgement,
} from "./acknowledgement.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import { verifyConsistency } from "./consistency-proof.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { HASH_BYTES, leafHash } from "./merkle.ts";
import type { LogReader } from "./ports.ts";
import {
  countHashes,
  formatTilePath,
  parseBundle,
  parseTile,
  parseTilePath,
  TILE_WIDTH,
  tileAt,
} from "./tile.ts";
import { EMPTY_EDGE, growTree, rootOfEdge, type TreeEdge } from "./tree-edge.ts";
import { readTile, TreeReader } from "./tree-reader.ts";

/** Growing needs no entries here. */
const NO_ENTRY = new Uint8Array(0);

/** How far a log was followed; `edge` is what going on needs. */
export interface Followed {
  readonly note: string;
  readonly head: Checkpoint;
  readonly edge: TreeEdge;
}

/** What came of comparing a signed note with a followed log. */
export type Comparison =
  | { readonly kind: "consistent"; readonly size: number }
  /** It is of a larger tree than the one that was followed. */
  | { readonly kind: "ahead"; readonly size: number }
  /** The log signed both, and both cannot be true. */
  | { readonly kind: "split"; readonly size: number };

/**
 * What came of a signed promise. `broken`: another entry lies there, and the log's own signatures say so. `late`: nothing
 * covers it by now, which only whoever asked can say, by a clock of their own.
 */
export type Redemption = "kept" | "pending" | "late" | "broken";

/**
 * Follows a log from where it was left to a checkpoint, through every tile between.
 *
 * @param options.before - null for a log that is seen for the first time.
 * @param options.note - verified here.
 * @param options.withEntries - also reads the bundles and holds each entry against its leaf.
 * @throws TrustWardenError `log_misbehaved` for a log that gives its signed root, but not from what was verified before,
 *   and for another root of the size that was verified before; `ledger_corrupt` for files that do not give it; `checkpoint_untrusted`, `not_found`.
 */
export async function followLog(
  reader: LogReader,
  options: {
    readonly vkey: string;
    readonly note: string;
    readonly before: Followed | null;
    readonly withEntries: boolean;
  },
): Promise<Followed> {
  const { vkey, note, before, withEntries } = options;
  const head = verifyCheckpoint(note, vkey);
  const start = before?.edge ?? EMPTY_EDGE;
  if (head.size < start.size) throw new Error("a log is followed forwards");
  // Two roots of one size convict by themselves: which tiles the log shows with the second is its choice.
  if (before !== null && head.size === start.size && !isEqualBytes(head.root, before.head.root))
    throw new TrustWardenError("log_misbehaved", { reason: "split view", size: head.size });
  const edge = await growTo(reader, { edge: start, head, withEntries }).catch(nullForDamage);
  if (edge !== null) return { note, head, edge };
  // From the first leaf: if that gives the signed root, what was verified before was another history.
  await growTo(reader, { edge: EMPTY_EDGE, head, withEntries });
  throw new TrustWardenError("log_misbehaved", { reason: "split view", size: head.size });
}

/**
 * Holds another signed note of the same log against the one that was followed.
 *
 * @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted` when the log did not sign it; `ledger_corrupt`
 *   or `not_found` when the log's files do not suffice to say.
 */
export async function compareCheckpoint(
  reader: LogReader,
  { note, vkey, followed }: { readonly note: string; readonly vkey: string; readonly followed: Followed },
): Promise<Comparison> {
  const { size, root } = verifyCheckpoint(note, vkey);
  const { head } = followed;
  if (size > head.size) return { kind: "ahead", size };
  if (size === head.size) return { kind: isEqualBytes(root, head.root) ? "consistent" : "split", size };
  const tree = new TreeReader(reader, head.size);
  const proof = size === 0 ? [] : await tree.readConsistencyProof(size, head.size);
  if (
    isProven(() =>
      verifyConsistency({ oldSize: size, oldRoot: root, newSize: head.size, newRoot: head.root, proof }),
    )
  )
    return { kind: "consistent", size };
  const earlier = await grow(reader, { edge: EMPTY_EDGE, size, treeSize: head.size, withEntries: false });
  await growTo(reader, { edge: earlier, head, withEntries: false });
  return { kind: isEqualBytes(rootOfEdge(earlier), root) ? "consistent" : "split", size };
}

/**
 * Whether a promise is kept: the leaf lies at its index under the followed checkpoint. Who signed it is looked at when that
 * checkpoint covers the index, since the key may be that of a shard to come.
 *
 * @param options.vkey - of the ledger, under whose name promises are signed.
 * @param options.now - Unix seconds.
 * @param options.delaySeconds - within which the log has to cover what it acknowledged.
 * @throws TrustWardenError `receipt_invalid` when the log did not sign it; `ledger_corrupt`, `not_found`.
 */
export async function redeemAcknowledgement(
  reader: LogReader,
  options: {
    readonly acknowledgement: string;
    readonly vkey: string;
    readonly followed: Pick<Followed, "head">;
    readonly now: number;
    readonly delaySeconds: number;
    /** Position of the followed shard's entry 0; promises count through all shards. */
    readonly first?: number;
  },
): Promise<Redemption> {
  const { acknowledgement, vkey, followed, now, delaySeconds, first = 0 } = options;
  const { head } = followed;
  const unverified = parseUnverifiedAcknowledgement(acknowledgement);
  // Perhaps of a later shard and its key, which nobody can know before that is followed.
  if (unverified.index - first >= head.size)
    return now > unverified.acknowledgedAt + delaySeconds ? "late" : "pending";
  const promised = verifyAcknowledgement(acknowledgement, vkey);
  const promise = { ...promised, index: promised.index - first };
  const tree = new TreeReader(reader, head.size);
  const proof = await tree.readInclusionProof(promise.index, head.size);
  const claim = { ...promise, size: head.size, leaf: promise.leafHash, proof, root: head.root };
  if (isProven(() => verifyInclusion(claim))) return "kept";
  return (await hasLeaf(reader, head, promise)) ? "kept" : "broken";
}

/** Another leaf lies there, proven by the leaves that give the signed root. */
async function hasLeaf(reader: LogReader, head: Checkpoint, { index, leafHash: wanted }: Acknowledgement) {
  const start = Math.floor(index / TILE_WIDTH) * TILE_WIDTH;
  const edge = await grow(reader, { edge: EMPTY_EDGE, size: start, treeSize: head.size, withEntries: false });
  const hashes = await readLeaves(reader, { position: index, size: head.size });
  await growTo(reader, { edge: growTree(edge, hashes.map(leafOf)).edge, head, withEntries: false });
  return isEqualBytes(hashes[index - start] ?? NO_ENTRY, wanted);
}

/** The edge of the whole tree. @throws TrustWardenError `ledger_corrupt` unless going on gives the signed root. */
async function growTo(
  reader: LogReader,
  {
    edge,
    head,
    withEntries,
  }: { readonly edge: TreeEdge; readonly head: Checkpoint; readonly withEntries: boolean },
): Promise<TreeEdge> {
  const whole = await grow(reader, { edge, size: head.size, treeSize: head.size, withEntries });
  if (!isEqualBytes(rootOfEdge(whole), head.root))
    throw corrupt("the tiles do not give the signed root", head.size);
  return whole;
}

/** The edge at `size`, from the leaves of a tree of `treeSize`; each tile above them must follow from them. */
async function grow(
  reader: LogReader,
  options: {
    readonly edge: TreeEdge;
    readonly size: number;
    readonly treeSize: number;
    readonly withEntries: boolean;
  },
): Promise<TreeEdge> {
  const { size, treeSize, withEntries } = options;
  let edge: TreeEdge = { ...options.edge, entries: [] };
  while (edge.size < size) {
    const position = edge.size;
    const hashes = await readLeaves(reader, { position, size: treeSize });
    if (withEntries) await requireEntries(reader, { position, size: treeSize, hashes });
    const offset = position % TILE_WIDTH;
    requireSame(edge.levels[0] ?? [], hashes.slice(0, offset), position);
    const growth = growTree(edge, hashes.slice(offset, offset + size - position).map(leafOf));
    for (const { path, bytes } of growth.objects) await requireTile(reader, { path, bytes, size: treeSize });
    edge = { ...growth.edge, entries: [] };
  }
  return edge;
}

/** The leaf hashes of the tile around a position. */
async function readLeaves(
  reader: LogReader,
  { position, size }: { readonly position: number; readonly size: number },
): Promise<readonly Uint8Array[]> {
  const name = tileAt({ level: 0, position, size });
  return parseTile(await readTile(reader, name), name);
}

async function requireEntries(
  reader: LogReader,
  {
    position,
    size,
    hashes,
  }: { readonly position: number; readonly size: number; readonly hashes: readonly Uint8Array[] },
): Promise<void> {
  const name = tileAt({ level: "entries", position, size });
  const entries = parseBundle(await readTile(reader, name), name);
  requireSame(entries.map(leafHash), hashes, position);
}

/** A tile above the leaves must be shown as it follows from them; what a checkpoint between left partial may be gone. */
async function requireTile(
  reader: LogReader,
  { path, bytes, size }: { readonly path: string; readonly bytes: Uint8Array; readonly size: number },
): Promise<void> {
  const name = parseTilePath(path);
  if (name.level === "entries" || name.level === 0) return;
  const width = bytes.length / HASH_BYTES;
  const isOfHead = width === TILE_WIDTH || name.index * TILE_WIDTH + width === countHashes(size, name.level);
  if (!isOfHead) return;
  const shown = parseTile(await readTile(reader, { ...name, width }), { ...name, width });
  const isSame = shown.every((hash, at) =>
    isEqualBytes(hash, bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES)),
  );
  if (!isSame) throw corrupt(`${formatTilePath({ ...name, width })} does not follow from the leaves`, size);
}

function requireSame(left: readonly Uint8Array[], right: readonly Uint8Array[], position: number): void {
  const isSame =
    left.length === right.length && left.every((hash, at) => isEqualBytes(hash, right[at] ?? NO_ENTRY));
  if (!isSame) throw corrupt("leaves are not what they were, or not the hashes of their entries", position);
}

function leafOf(hash: Uint8Array) {
  return { entry: NO_ENTRY, leafHash: hash };
}

function isProven(verify: () => void): boolean {
  try {
    verify();
    return true;
  } catch (error) {
    // Safe to go on: the caller counts again from the leaves before it says anything.
    if (!(error instanceof TrustWardenError)) throw error;
    return false;
  }
}

/** What cannot be gone on from is looked at from the beginning before anything is said of it. */
function nullForDamage(error: unknown): null {
  if (error instanceof TrustWardenError && error.code === "ledger_corrupt") return null;
  throw error;
}

function corrupt(reason: string, place: number): TrustWardenError {
  return new TrustWardenError("ledger_corrupt", { reason, place });
}
