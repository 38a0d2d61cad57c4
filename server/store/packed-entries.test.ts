/** Entries that are handed to another thread are the same ones there. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packEntries, unpackEntries } from "./packed-entries.ts";

describe("packed entries", () => {
  it("are unpacked as they were, in their order, empty ones too", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (entries) => {
        const packed = structuredClone(packEntries(entries));
        expect(unpackEntries(packed).map((entry) => [...entry])).toEqual(entries.map((entry) => [...entry]));
      }),
    );
  });

  it("share no memory with what was packed, which others keep", () => {
    const entry = Uint8Array.of(1, 2, 3);
    const { bytes, ends } = packEntries([entry]);
    structuredClone(bytes, { transfer: [bytes.buffer, ends.buffer] });
    expect([...entry]).toEqual([1, 2, 3]);
  });
});
