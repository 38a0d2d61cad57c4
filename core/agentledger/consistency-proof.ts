/**
 * Consistency proofs: that a newer tree only added entries to an older one.
 *
 * @see RFC 6962 section 2.1.2; the verification is the one of RFC 9162 section 2.1.4.2
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { requireHashes } from "./inclusion-proof.ts";
import { EMPTY_ROOT, type LeafRange, nodeHash, requireCount, splitPoint } from "./merkle.ts";

/** Two trees of one log, and the hashes that show the older to be a prefix of the newer. */
export interface ConsistencyClaim {
  readonly oldSize: number;
  readonly oldRoot: Uint8Array;
  readonly newSize: number;
  readonly newRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Refuses a proof that does not show the old tree to be a prefix of the new one: a forked or shortened history.
 *
 * @throws TrustWardenError `proof_malformed` for impossible numbers or hash lengths, `proof_invalid` otherwise.
 */
export function verifyConsistency(claim: ConsistencyClaim): void {
  const { oldSize, oldRoot, newSize, newRoot, proof } = claim;
  requireCount(oldSize, "oldSize");
  requireCount(newSize, "newSize");
  requireHashes([oldRoot, newRoot, ...proof]);
  if (oldSize > newSize) throw new TrustWardenError("proof_invalid", { reason: "shrunk", oldSize, newSize });
  if (oldSize === 0 || oldSize === newSize) {
    requireTrivial(claim);
    return;
  }
  const roots = foldRoots(claim);
  if (!isEqualBytes(roots.old, oldRoot) || !isEqualBytes(roots.new, newRoot)) {
    throw new TrustWardenError("proof_invalid", { reason: "other root", oldSize, newSize });
  }
}

/** The ranges of leaves whose hashes prove a tree of `oldSize` to be a prefix of one of `newSize`, in order. */
export function consistencyRanges(oldSize: number, newSize: number): readonly LeafRange[] {
  if (oldSize === 0 || oldSize === newSize) return [];
  const ranges: LeafRange[] = [];
  let start = 0;
  let end = newSize;
  // While the old tree's edge is inside [start, end), step towards it and note the side not taken.
  while (oldSize < end) {
    const middle = start + splitPoint(end - start);
    if (oldSize <= middle) {
      ranges.unshift({ start: middle, end });
      end = middle;
    } else {
      ranges.unshift({ start, end: middle });
      start = middle;
    }
  }
  // The verifier knows the old root already when it is itself a full subtree of the new tree.
  if (start !== 0) ranges.unshift({ start, end });
  return ranges;
}

function requireTrivial({ oldSize, oldRoot, newSize, newRoot, proof }: ConsistencyClaim): void {
  if (proof.length > 0) throw new TrustWardenError("proof_invalid", { reason: "too long" });
  const expected = oldSize === newSize ? newRoot : EMPTY_ROOT;
  if (!isEqualBytes(oldRoot, expected)) {
    throw new TrustWardenError("proof_invalid", { reason: "other root", oldSize, newSize });
  }
}

/** Both roots as the proof gives them. */
function foldRoots({ oldSize, oldRoot, newSize, proof }: ConsistencyClaim): {
  readonly old: Uint8Array;
  readonly new: Uint8Array;
} {
  let node = oldSize - 1;
  let last = newSize - 1;
  while (node % 2 === 1) {
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  // `node` is 0 exactly when the old size is a power of two: then the old root itself begins the proof.
  const path = node === 0 ? [oldRoot, ...proof] : proof;
  const [first, ...rest] = path;
  if (first === undefined) throw new TrustWardenError("proof_invalid", { reason: "too short" });
  let before = first;
  let after = first;
  for (const hash of rest) {
    if (last === 0) throw new TrustWardenError("proof_invalid", { reason: "too long" });
    if (node % 2 === 1 || node === last) {
      before = nodeHash({ left: hash, right: before });
      after = nodeHash({ left: hash, right: after });
      while (node % 2 === 0 && node !== 0) {
        node = Math.floor(node / 2);
        last = Math.floor(last / 2);
      }
    } else {
      after = nodeHash({ left: after, right: hash });
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  if (last !== 0) throw new TrustWardenError("proof_invalid", { reason: "too short" });
  return { old: before, new: after };
}
