/**
 * Range proofs: that consecutive entries are in the tree of a checkpoint, all of them and nothing between.
 *
 * The proof is the roots of the largest ranges of leaves outside, in the order in which RFC 6962 splits the tree: at
 * most two a level, however many entries the range has.
 *
 * @see RFC 6962 section 2.1; docs/decisions/0031
 */
import { encodeBase64, isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { parseProofHash } from "./checkpoint.ts";
import { requireHashes } from "./inclusion-proof.ts";
import { type LeafRange, nodeHash, requireCount, splitPoint } from "./merkle.ts";

const HEADER = "trustwarden.dev/range-proof@v1";
const RANGE = /^range (0|[1-9]\d{0,15}) (0|[1-9]\d{0,15})$/;
/** Two on each level of a tree of 2^53 entries. */
const MAX_HASHES = 106;
const MAX_CHARS = 8192;

/** Entries [start, end) of one tree, and what leads from them to its root. */
export interface RangeClaim extends LeafRange {
  readonly size: number;
  /** Leaf hashes of the entries, in order. */
  readonly leaves: readonly Uint8Array[];
  readonly proof: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/** A range proof as written; nothing is verified. */
export interface UnverifiedRangeProof extends LeafRange {
  readonly proof: readonly Uint8Array[];
}

/** The ranges of leaves outside [start, end) whose hashes prove it, from left to right. */
export function outerRanges({ start, end }: LeafRange, size: number): readonly LeafRange[] {
  const ranges: LeafRange[] = [];
  const visit = (from: number, to: number): void => {
    if (to <= start || from >= end) {
      ranges.push({ start: from, end: to });
    } else if (from < start || to > end) {
      const middle = from + splitPoint(to - from);
      visit(from, middle);
      visit(middle, to);
    }
  };
  visit(0, size);
  return ranges;
}

/**
 * Refuses entries that are not exactly [start, end) of the tree of `size` entries with this root.
 *
 * @throws TrustWardenError `proof_malformed` for impossible numbers or hash lengths, `proof_invalid` otherwise.
 */
export function verifyRange({ start, end, size, leaves, proof, root }: RangeClaim): void {
  requireCount(start, "start");
  requireCount(end, "end");
  requireCount(size, "size");
  if (start >= end || end > size || leaves.length !== end - start)
    throw new TrustWardenError("proof_invalid", { reason: "not a range of the tree", start, end, size });
  requireHashes([root, ...leaves, ...proof]);
  const rest = [...proof].reverse();
  const hashOf = (from: number, to: number): Uint8Array => {
    if (to <= start || from >= end) return rest.pop() ?? invalid("too short");
    if (to - from === 1) return leaves[from - start] ?? invalid("too few entries");
    const middle = from + splitPoint(to - from);
    const left = hashOf(from, middle);
    return nodeHash({ left, right: hashOf(middle, to) });
  };
  const found = hashOf(0, size);
  if (rest.length > 0) invalid("too long");
  if (!isEqualBytes(found, root)) invalid("other root");
}

/** Text of a proof. */
export function formatRangeProof({ start, end, proof }: UnverifiedRangeProof): string {
  return `${HEADER}\nrange ${start} ${end}\n${proof.map((hash) => `${encodeBase64(hash)}\n`).join("")}`;
}

/** @throws TrustWardenError `proof_malformed`. */
export function parseRangeProof(text: string): UnverifiedRangeProof {
  const [header, range = "", ...lines] = text.split("\n");
  const [, start, end] = RANGE.exec(range) ?? [];
  const isForm = text.length <= MAX_CHARS && header === HEADER && lines.pop() === "";
  if (!isForm || start === undefined || end === undefined || lines.length > MAX_HASHES)
    throw malformed("form");
  return { start: Number(start), end: Number(end), proof: lines.map(parseProofHash) };
}

function invalid(reason: string): never {
  throw new TrustWardenError("proof_invalid", { reason });
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("proof_malformed", { reason });
}
