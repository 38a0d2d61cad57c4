/**
 * The Merkle tree hash of RFC 6962: leaves, nodes, roots, and which ranges of leaves a proof is made of.
 *
 * Pure and storage-free: it never reads a tile (`tree-reader.ts` does) and never judges a proof (`inclusion-proof.ts`
 * and `consistency-proof.ts` do). Sizes and indexes are safe integers, far beyond 2^32, so no 32-bit operator may
 * touch them.
 *
 * @see RFC 6962 section 2.1
 */
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";

/** Bytes of one hash. */
export const HASH_BYTES = 32;

/** Domain separation: without it an inner node could be passed off as an entry. */
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** Root of the tree without entries. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array(0));

/** Leaves from `start` up to, not including, `end`. */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/** Hash of one entry: SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Uint8Array {
  const input = new Uint8Array(entry.length + 1);
  input[0] = LEAF_PREFIX;
  input.set(entry, 1);
  return sha256(input);
}

/** Hash of an inner node: SHA-256(0x01 || left || right). */
export function nodeHash({
  left,
  right,
}: {
  readonly left: Uint8Array;
  readonly right: Uint8Array;
}): Uint8Array {
  const input = new Uint8Array(1 + left.length + right.length);
  input[0] = NODE_PREFIX;
  input.set(left, 1);
  input.set(right, 1 + left.length);
  return sha256(input);
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
