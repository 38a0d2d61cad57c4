/**
 * Inclusion proofs: that one entry is in the tree of a checkpoint.
 *
 * @see RFC 6962 section 2.1.1; the verification is the one of RFC 9162 section 2.1.3.2
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { HASH_BYTES, type LeafRange, nodeHash, requireCount, splitPoint } from "./merkle.ts";

/** One entry's place in one tree, and the hashes that lead from it to the root. */
export interface InclusionClaim {
  readonly index: number;
  readonly size: number;
  /** Leaf hash of the entry. */
  readonly leaf: Uint8Array;
  /** From the leaf's sibling up to the root's child. */
  readonly proof: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/**
 * Refuses a proof that does not lead from the leaf at `index` to the root of the tree of `size` entries.
 *
 * @throws TrustWardenError `proof_malformed` for impossible numbers or hash lengths, `proof_invalid` otherwise.
 */
export function verifyInclusion({ index, size, leaf, proof, root }: InclusionClaim): void {
  requireCount(index, "index");
  requireCount(size, "size");
  if (index >= size)
    throw new TrustWardenError("proof_invalid", { reason: "index beyond the tree", index, size });
  requireHashes([leaf, root, ...proof]);
  let node = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) throw new TrustWardenError("proof_invalid", { reason: "too long" });
    if (node % 2 === 1 || node === last) {
      hash = nodeHash({ left: sibling, right: hash });
      while (node % 2 === 0 && node !== 0) {
        node = Math.floor(node / 2);
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash({ left: hash, right: sibling });
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  if (last !== 0) throw new TrustWardenError("proof_invalid", { reason: "too short" });
  if (!isEqualBytes(hash, root))
    throw new TrustWardenError("proof_invalid", { reason: "other root", index, size });
}

/** The ranges of leaves whose hashes prove `index` in a tree of `size`, in the order of the proof. */
export function inclusionRanges(index: number, size: number): readonly LeafRange[] {
  const ranges: LeafRange[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + splitPoint(end - start);
    if (index < middle) {
      ranges.unshift({ start: middle, end });
      end = middle;
    } else {
      ranges.unshift({ start, end: middle });
      start = middle;
    }
  }
  return ranges;
}

/** @throws TrustWardenError `proof_malformed` unless every item has the length of a hash. */
export function requireHashes(hashes: readonly Uint8Array[]): void {
  for (const hash of hashes) {
    if (hash.length !== HASH_BYTES) throw new TrustWardenError("proof_malformed", { reason: "hash length" });
  }
}
