/** Parts of any size are the bytes that they are together. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { GrowingBytes } from "./growing-bytes.ts";

it("holds the parts one after the other, whatever their sizes", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 40 }), (parts) => {
      const bytes = new GrowingBytes();
      for (const part of parts) bytes.add(part);
      expect(bytes.length).toBe(parts.reduce((sum, part) => sum + part.length, 0));
      expect(Buffer.from(bytes.view()).equals(Buffer.concat(parts))).toBe(true);
    }),
  );
});

it("gives what came so far, and keeps nothing of whose it was", () => {
  const bytes = new GrowingBytes();
  const part = Uint8Array.of(1, 2);
  bytes.add(part);
  const before = bytes.view();
  part.fill(9);
  bytes.add(part);
  expect([...before]).toEqual([1, 2]);
  expect([...bytes.view()]).toEqual([1, 2, 9, 9]);
});
