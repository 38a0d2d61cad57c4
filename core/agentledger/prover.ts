/**
 * Answers about a published tree, each checked before it is given out: a log with damaged tiles says so itself
 * instead of handing out proofs that fail elsewhere.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { verifyConsistency } from "./consistency-proof.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { leafHash } from "./merkle.ts";
import type { LogReader } from "./ports.ts";
import { TreeReader } from "./tree-reader.ts";

/**
 * Inclusion proof of an entry in the tree of `size`, at most that of the head.
 *
 * @throws TrustWardenError `not_found`, or `ledger_corrupt` when the stored tiles do not prove it.
 */
export async function proveInclusion(
  reader: LogReader,
  { index, size, head }: { readonly index: number; readonly size: number; readonly head: Checkpoint },
): Promise<readonly Uint8Array[]> {
  requireWithin(size, head.size);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size)
    throw new TrustWardenError("not_found", { index, size });
  const tree = new TreeReader(reader, head.size);
  const proof = await tree.readInclusionProof(index, size);
  const leaf = await tree.readLeafHash(index);
  const root = await rootAt(tree, { size, head });
  requireProven(() => verifyInclusion({ index, size, leaf, proof, root }));
  return proof;
}

/**
 * Consistency proof between two sizes, at most that of the head.
 *
 * @throws TrustWardenError `not_found`, or `ledger_corrupt` when the stored tiles do not prove it.
 */
export async function proveConsistency(
  reader: LogReader,
  {
    oldSize,
    newSize,
    head,
  }: { readonly oldSize: number; readonly newSize: number; readonly head: Checkpoint },
): Promise<readonly Uint8Array[]> {
  requireWithin(newSize, head.size);
  requireWithin(oldSize, newSize);
  const tree = new TreeReader(reader, head.size);
  const proof = await tree.readConsistencyProof(oldSize, newSize);
  const oldRoot = await tree.readRoot(oldSize);
  const newRoot = await rootAt(tree, { size: newSize, head });
  requireProven(() => verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof }));
  return proof;
}

/**
 * The entry at `index` of a tree of `size`.
 *
 * @throws TrustWardenError `not_found`, or `ledger_corrupt` when the stored entry is not the one in the tree.
 */
export async function readEntry(
  reader: LogReader,
  { index, size }: { readonly index: number; readonly size: number },
): Promise<Uint8Array> {
  if (!Number.isSafeInteger(index) || index < 0) throw new TrustWardenError("not_found", { index });
  const tree = new TreeReader(reader, size);
  const entry = await tree.readEntry(index);
  if (!isEqualBytes(leafHash(entry), await tree.readLeafHash(index))) {
    throw new TrustWardenError("ledger_corrupt", { index, reason: "entry does not hash to its leaf" });
  }
  return entry;
}

/**
 * Entries from one on, to the end of its bundle: for whoever reads many, a file is read once.
 *
 * @throws TrustWardenError `not_found`, or `ledger_corrupt` when an entry does not hash to its leaf.
 */
export async function readEntriesFrom(
  reader: LogReader,
  { index, size }: { readonly index: number; readonly size: number },
): Promise<readonly Uint8Array[]> {
  const bundle = await new TreeReader(reader, size).readBundleFrom(index);
  return bundle.map(({ entry, leafHash: expected }, offset) => {
    if (!isEqualBytes(leafHash(entry), expected))
      throw new TrustWardenError("ledger_corrupt", {
        index: index + offset,
        reason: "entry does not hash to its leaf",
      });
    return entry;
  });
}

async function rootAt(
  tree: TreeReader,
  { size, head }: { readonly size: number; readonly head: Checkpoint },
): Promise<Uint8Array> {
  return size === head.size ? head.root : tree.readRoot(size);
}

function requireWithin(size: number, limit: number): void {
  if (!Number.isSafeInteger(size) || size < 0 || size > limit)
    throw new TrustWardenError("not_found", { size, limit });
}

function requireProven(verify: () => void): void {
  try {
    verify();
  } catch (cause) {
    throw new TrustWardenError("ledger_corrupt", { reason: "stored tiles do not prove the tree" }, { cause });
  }
}
