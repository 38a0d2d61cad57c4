/**
 * The Merkle tree hash of RFC 6962: leaves, nodes, roots, and which ranges of leaves a proof is made of.
 *
 * Pure and storage-free: it never reads a tile (`tree-reader.ts` does) and never judges a proof (`inclusion-proof.ts`
 * and `consistency-proof.ts` do). Sizes and indexes are safe integers, far beyond 2^32, so no 32-bit operator may
 * touch them.
 *
 * @see RFC 6962 section 2.1
 */
import { concatBytes } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";

/** Bytes of one hash. */
export const HASH_BYTES = 32;

/** Domain separation: without it an inner node could be passed off as an entry. */
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** Entries up to this are hashed in `leafInput`; one is about a kilobyte. */
const MAX_COPIED_BYTES = 65_535;
/**
 * What is hashed, behind its prefix: one place for all, since an array for each would cost more than its hash. Nothing is kept in
 * them from one call to the next.
 */
const leafInput = new Uint8Array(1 + MAX_COPIED_BYTES).fill(LEAF_PREFIX, 0, 1);
const nodeInput = new Uint8Array(1 + 2 * HASH_BYTES).fill(NODE_PREFIX, 0, 1);

/** Root of the tree without entries. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array(0));

/** Leaves from `start` up to, not including, `end`. */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/** Hash of one entry: SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Uint8Array {
  if (entry.length > MAX_COPIED_BYTES) return sha256(concatBytes(Uint8Array.of(LEAF_PREFIX), entry));
  leafInput.set(entry, 1);
  return sha256(leafInput.subarray(0, 1 + entry.length));
}

/** Hash of an inner node: SHA-256(0x01 || left || right). */
export function nodeHash({
  left,
  right,
}: {
  readonly left: Uint8Array;
  readonly right: Uint8Array;
}): Uint8Array {
  if (left.length + right.length !== 2 * HASH_BYTES)
    return sha256(concatBytes(Uint8Array.of(NODE_PREFIX), left, right));
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + left.length);
  return sha256(nodeInput);
}

/**
 * Root over hashes in order: leaf hashes, or roots of equally large full subtrees of which only the last may be
 * smaller. Pairs are joined level by level and an odd last one moves up unchanged, which is the shape of RFC 6962.
 */
export function rootOf(hashes: readonly Uint8Array[]): Uint8Array {
  let level = hashes;
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let index = 0; index + 1 < level.length; index += 2) {
      above.push(nodeHash({ left: hashAt(level, index), right: hashAt(level, index + 1) }));
    }
    if (level.length % 2 === 1) above.push(hashAt(level, level.length - 1));
    level = above;
  }
  return level[0] ?? EMPTY_ROOT;
}

/** Where RFC 6962 splits a tree of `size` > 1 leaves: the largest power of two below `size`. */
export function splitPoint(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

/**
 * Refuses anything but a size or index that arithmetic on numbers keeps exact.
 *
 * @throws TrustWardenError `proof_malformed`.
 */
export function requireCount(value: number, field: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new TrustWardenError("proof_malformed", { field });
}

function hashAt(hashes: readonly Uint8Array[], index: number): Uint8Array {
  const hash = hashes[index];
  if (hash === undefined) throw new Error("a level has no holes");
  return hash;
}
