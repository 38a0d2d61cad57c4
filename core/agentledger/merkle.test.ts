import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeHex } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { verifyConsistency } from "./consistency-proof.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { EMPTY_ROOT, leafHash, rootOf, splitPoint } from "./merkle.ts";
import { parseTilePath } from "./tile.ts";
import { EMPTY_EDGE, growTree, rootOfEdge, type TreeEdge } from "./tree-edge.ts";
import { TreeReader } from "./tree-reader.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

/** RFC 6962 section 2.1, written as the RFC writes it and sharing nothing with the code under test. */
function mth(entries: readonly Uint8Array[], start = 0, known = new Map<string, Uint8Array>()): Uint8Array {
  if (entries.length === 0) return sha256(new Uint8Array(0));
  const [only] = entries;
  if (entries.length === 1 && only) return sha256(Buffer.concat([Buffer.of(0), only]));
  const place = `${start}+${entries.length}`;
  const cached = known.get(place);
  if (cached) return cached;
  let k = 1;
  while (k * 2 < entries.length) k *= 2;
  const parts = [mth(entries.slice(0, k), start, known), mth(entries.slice(k), start + k, known)];
  const hash = sha256(Buffer.concat([Buffer.of(1), ...parts]));
  known.set(place, hash);
  return hash;
}

const entryOf = (index: number) => Uint8Array.of(index >> 8, index & 255, 7);

function grown(size: number): {
  readonly edge: TreeEdge;
  readonly files: Map<string, Uint8Array>;
  readonly reader: TreeReader;
} {
  const leaves = Array.from({ length: size }, (_, index) => ({
    entry: entryOf(index),
    leafHash: leafHash(entryOf(index)),
  }));
  const { edge, objects } = growTree(EMPTY_EDGE, leaves);
  const files = new Map(objects.map(({ path, bytes }) => [path, bytes]));
  const readObject = async (path: string) => files.get(path) ?? Promise.reject(new Error(`missing ${path}`));
  return { edge, files, reader: new TreeReader({ readObject, readCheckpoint: async () => null }, size) };
}

/** Code of the refusal; `expect` itself is too slow for a million mutants. */
function codeOf(verify: () => void): string {
  try {
    verify();
    return "accepted";
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : String(error);
  }
}

const flip = (hash: Uint8Array) => hash.map((byte, index) => (index === 3 ? byte ^ 4 : byte));

/** The proof with one hash altered, a different one from call to call; none for an empty proof. */
function mutantsOf(proof: readonly Uint8Array[], turn: number): readonly (readonly Uint8Array[])[] {
  const at = turn % proof.length;
  const hash = proof[at];
  return hash === undefined ? [] : [proof.with(at, flip(hash))];
}

describe("the Merkle tree", () => {
  it("has the root of RFC 6962 for every size from 0 to 1025, grown one entry at a time (1)", () => {
    expect(encodeHex(EMPTY_ROOT)).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    const known = new Map<string, Uint8Array>();
    const entries: Uint8Array[] = [];
    let edge = EMPTY_EDGE;
    for (let size = 0; size <= 1025; size += 1) {
      const expected = encodeHex(mth(entries, 0, known));
      expect(encodeHex(rootOfEdge(edge))).toBe(expected);
      if (size % 41 === 0) expect(encodeHex(rootOf(entries.map(leafHash)))).toBe(expected);
      const entry = entryOf(size);
      entries.push(entry);
      edge = growTree(edge, [{ entry, leafHash: leafHash(entry) }]).edge;
    }
  });

  it("gives the known roots of the Certificate Transparency test data (2)", () => {
    const inputs = [
      "",
      "00",
      "10",
      "2021",
      "3031",
      "40414243",
      "5051525354555657",
      "606162636465666768696a6b6c6d6e6f",
    ];
    const roots = [
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    roots.forEach((root, index) => {
      expect(encodeHex(rootOf(inputs.slice(0, index + 1).map((input) => leafHash(hex(input)))))).toBe(root);
    });
  });

  it("proves every index of every size up to 130, and no mutation of a proof (3)", async () => {
    const codes = new Set<string>();
    for (let size = 1; size <= 130; size += 1) {
      const { edge, reader } = grown(size);
      const root = rootOfEdge(edge);
      for (let index = 0; index < size; index += 1) {
        const proof = await reader.readInclusionProof(index, size);
        const leaf = leafHash(entryOf(index));
        const claim = { index, size, leaf, proof, root };
        verifyInclusion(claim);
        const wrong = [
          { ...claim, leaf: flip(leaf) },
          { ...claim, root: flip(root) },
          { ...claim, index: index ^ 1 },
          { ...claim, proof: [...proof, root] },
          ...(proof.length > 0
            ? [
                { ...claim, proof: proof.slice(1) },
                { ...claim, size: size + proof.length * 130 },
              ]
            : []),
          ...mutantsOf(proof, index + size).map((proof) => ({ ...claim, proof })),
        ];
        for (const mutant of size === 1 ? wrong.slice(0, 4) : wrong) {
          codes.add(codeOf(() => verifyInclusion(mutant)));
        }
      }
    }
    expect([...codes]).toEqual(["proof_invalid"]);
  });

  it("proves consistency of every pair of sizes up to 130, and no mutation of a proof (4)", async () => {
    const codes = new Set<string>();
    const { reader } = grown(130);
    const roots = await Promise.all(Array.from({ length: 131 }, (_, size) => reader.readRoot(size)));
    for (let newSize = 0; newSize <= 130; newSize += 1) {
      for (let oldSize = 0; oldSize <= newSize; oldSize += 1) {
        const proof = await reader.readConsistencyProof(oldSize, newSize);
        const claim = {
          oldSize,
          newSize,
          oldRoot: roots[oldSize] ?? EMPTY_ROOT,
          newRoot: roots[newSize] ?? EMPTY_ROOT,
          proof,
        };
        verifyConsistency(claim);
        const wrong = [
          { ...claim, oldRoot: flip(claim.oldRoot) },
          ...(oldSize > 0 ? [{ ...claim, newRoot: flip(claim.newRoot) }] : []),
          { ...claim, proof: [...proof, claim.newRoot] },
          ...mutantsOf(proof, oldSize + newSize).map((proof) => ({ ...claim, proof })),
          ...(proof.length > 0
            ? [
                { ...claim, proof: proof.slice(1) },
                { ...claim, oldSize: newSize + 1 },
              ]
            : []),
        ];
        for (const mutant of wrong) {
          codes.add(codeOf(() => verifyConsistency(mutant)));
        }
      }
    }
    expect([...codes]).toEqual(["proof_invalid"]);
  });

  it("refuses hashes of another length and sizes that are not counts", () => {
    const claim = { index: 0, size: 1, leaf: EMPTY_ROOT, proof: [], root: EMPTY_ROOT };
    expect(() => verifyInclusion({ ...claim, leaf: new Uint8Array(31) })).toThrow(
      expect.objectContaining({ code: "proof_malformed" }),
    );
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => verifyInclusion({ ...claim, size })).toThrow(
        expect.objectContaining({ code: "proof_malformed" }),
      );
    }
  });

  it("reads and verifies proofs in trees beyond 2^32 entries (5)", async () => {
    // Every leaf is the same, so every full tile of a level is the same and any tree is small to describe.
    const leaf = leafHash(Uint8Array.of(1));
    const nodes = [leaf];
    const size = 2 ** 40 + 2 ** 33 + 12_345;
    while (nodes.length < 52) nodes.push(rootOf([nodes.at(-1) ?? leaf, nodes.at(-1) ?? leaf]));
    const readObject = async (path: string) => {
      const { level, width } = parseTilePath(path);
      const hash = nodes[Number(level) * 8] ?? leaf;
      return new Uint8Array(Buffer.concat(Array.from({ length: width }, () => hash)));
    };
    const reader = new TreeReader({ readObject, readCheckpoint: async () => null }, size);
    const root = await reader.readRoot(size);
    for (const index of [0, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 40 + 2 ** 33 + 12_344]) {
      const proof = await reader.readInclusionProof(index, size);
      verifyInclusion({ index, size, leaf, proof, root });
      // The last leaf's path has another shape; for others a 32-bit slip would land on a leaf of the same shape.
      expect(() =>
        verifyInclusion({ index: index % 2 ** 32, size: size % 2 ** 32, leaf, proof, root }),
      ).toThrow();
    }
    const oldSize = 2 ** 32 + 77;
    const proof = await reader.readConsistencyProof(oldSize, size);
    verifyConsistency({
      oldSize,
      oldRoot: await reader.readRoot(oldSize),
      newSize: size,
      newRoot: root,
      proof,
    });
    expect(splitPoint(2 ** 40 + 1)).toBe(2 ** 40);
  });

  it("gives the same tiles whether it grows at once or in any steps", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 6 }), (steps) => {
        const size = steps.reduce((sum, step) => sum + step, 0);
        let edge = EMPTY_EDGE;
        const stepped = new Map<string, string>();
        for (const step of steps) {
          const leaves = Array.from({ length: step }, (_, offset) => {
            const entry = entryOf(edge.size + offset);
            return { entry, leafHash: leafHash(entry) };
          });
          const growth = growTree(edge, leaves);
          for (const { path, bytes } of growth.objects) stepped.set(path, encodeHex(bytes));
          edge = growth.edge;
        }
        const once = grown(size);
        expect(encodeHex(rootOfEdge(edge))).toBe(encodeHex(rootOfEdge(once.edge)));
        for (const [path, bytes] of once.files) expect(stepped.get(path)).toBe(encodeHex(bytes));
      }),
      { numRuns: 40 },
    );
  });

  it("reads back the edge that it grew", async () => {
    for (const size of [0, 1, 255, 256, 257, 1000]) {
      const { edge, reader } = grown(size);
      expect(encodeHex(rootOfEdge(await reader.readEdge()))).toBe(encodeHex(rootOfEdge(edge)));
      expect((await reader.readEdge()).entries.length).toBe(size % 256);
    }
  });
});
