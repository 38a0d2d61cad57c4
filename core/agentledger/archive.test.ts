import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { encodeArchive, MAX_BUNDLE_BYTES, parseArchive } from "./archive.ts";

const files = new Map([
  ["b/two.txt", encodeUtf8("two")],
  ["a.txt", encodeUtf8("")],
]);

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "read";
}

describe("an archive", () => {
  it("is the same bytes for the same files in any order, and gives them back", () => {
    const bytes = encodeArchive(files);
    expect(encodeArchive(new Map([...files].reverse()))).toEqual(bytes);
    expect(new Map(parseArchive(bytes))).toEqual(files);
  });

  it("is refused with any single bit flipped, cut anywhere, or with anything behind it", () => {
    const bytes = encodeArchive(files);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect([bit, codeOf(() => parseArchive(flipped))]).toEqual([bit, "evidence_bundle_malformed"]);
    }
    for (let length = 0; length < bytes.length; length += 1)
      expect(codeOf(() => parseArchive(bytes.subarray(0, length)))).toBe("evidence_bundle_malformed");
    expect(codeOf(() => parseArchive(concatBytes(bytes, Uint8Array.of(0))))).toBe(
      "evidence_bundle_malformed",
    );
  });

  it("never breaks on any bytes", () => {
    const head = encodeArchive(files).subarray(0, 40);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        for (const bytes of [noise, concatBytes(head, noise)])
          expect(codeOf(() => parseArchive(bytes))).toBe("evidence_bundle_malformed");
      }),
    );
  });

  it("takes as many bytes as a bundle may have, and one more is too large", () => {
    const overhead = encodeArchive(new Map([["a", new Uint8Array(0)]])).length;
    const most = new Map([["a", new Uint8Array(MAX_BUNDLE_BYTES - overhead)]]);
    expect(encodeArchive(most).length).toBe(MAX_BUNDLE_BYTES);
    const more = new Map([["a", new Uint8Array(MAX_BUNDLE_BYTES - overhead + 1)]]);
    expect(codeOf(() => encodeArchive(more))).toBe("evidence_bundle_too_large");
  });

  it("has no path that leads anywhere else", () => {
    for (const path of ["../a", "/a", "a/../b", "a//b", "", "a/", ".hidden", "a\\b", "é"])
      expect(() => encodeArchive(new Map([[path, new Uint8Array(0)]]))).toThrow("not a path of a bundle");
  });
});
