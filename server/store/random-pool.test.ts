import { randomBytes } from "node:crypto";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { expect, test } from "vitest";
import { pooledRandom } from "./random-pool.ts";

test("pieces have the asked length, never repeat, and are nobody else's memory", () => {
  const random = pooledRandom(randomBytes);
  const pieces = Array.from({ length: 1000 }, () => random(17));
  expect(pieces.every((piece) => piece.length === 17 && piece.buffer.byteLength === 17)).toBe(true);
  expect(new Set(pieces.map(encodeHex)).size).toBe(1000);
});

test("what was given out is no more in the memory that it came from, and large pieces never were", () => {
  const drawn: Uint8Array[] = [];
  const random = pooledRandom((length) => {
    const bytes = new Uint8Array(length).fill(drawn.length + 1);
    drawn.push(bytes);
    return bytes;
  });
  expect(random(32)).toEqual(new Uint8Array(32).fill(1));
  expect(drawn[0]?.subarray(0, 33)).toEqual(new Uint8Array(33).fill(0).fill(1, 32));
  expect(random(1024)).toBe(drawn[1]);
});
