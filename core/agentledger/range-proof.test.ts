import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { leafHash, rootOf } from "./merkle.ts";
import {
  formatRangeProof,
  outerRanges,
  parseRangeProof,
  type RangeClaim,
  verifyRange,
} from "./range-proof.ts";

const leaves = Array.from({ length: 40 }, (_, index) => leafHash(encodeUtf8(`entry ${index}`)));

function claimOf(start: number, end: number, size: number): RangeClaim {
  const proof = outerRanges({ start, end }, size).map((range) =>
    rootOf(leaves.slice(range.start, range.end)),
  );
  return { start, end, size, leaves: leaves.slice(start, end), proof, root: rootOf(leaves.slice(0, size)) };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "verified";
}

describe("a range proof", () => {
  it("holds for every range of every small tree, with at most two hashes a level", () => {
    for (let size = 1; size <= 18; size += 1)
      for (let start = 0; start < size; start += 1)
        for (let end = start + 1; end <= size; end += 1) {
          const claim = claimOf(start, end, size);
          expect(claim.proof.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(size) + 1));
          verifyRange(claim);
        }
  });

  it("does not hold with an entry less, more, other or elsewhere, nor with a hash less, more or other", () => {
    const claim = claimOf(5, 17, 33);
    const [first = new Uint8Array(32)] = claim.proof;
    const wrong: readonly RangeClaim[] = [
      { ...claim, leaves: claim.leaves.slice(1) },
      { ...claim, leaves: claim.leaves.slice(1), start: 6 },
      { ...claim, leaves: claim.leaves.toReversed() },
      { ...claim, start: 6, end: 18 },
      { ...claim, proof: claim.proof.slice(1) },
      { ...claim, proof: [...claim.proof, first] },
      { ...claim, root: first },
      { ...claim, start: 17, end: 17, leaves: [] },
    ];
    for (const one of wrong) expect(codeOf(() => verifyRange(one))).toBe("proof_invalid");
    expect(codeOf(() => verifyRange({ ...claim, proof: [new Uint8Array(31)] }))).toBe("proof_malformed");
  });

  it("is read as it was written, and nothing else is read", () => {
    const { start, end, proof } = claimOf(3, 9, 21);
    const text = formatRangeProof({ start, end, proof });
    expect(formatRangeProof(parseRangeProof(text))).toBe(text);
    for (const other of [text.slice(1), `${text}\n`, text.slice(0, -1), text.replace("range 3", "range 03")])
      expect(codeOf(() => parseRangeProof(other))).toBe("proof_malformed");
    fc.assert(
      fc.property(fc.string(), (noise) =>
        ["proof_malformed", "verified"].includes(codeOf(() => parseRangeProof(noise))),
      ),
    );
  });
});
