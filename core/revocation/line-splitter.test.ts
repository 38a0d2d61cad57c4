import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeUtf8 } from "../bytes.ts";
import { LineSplitter } from "./line-splitter.ts";

test("lines come out the same however the bytes are cut", () => {
  const line = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replaceAll("\n", ""));
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(), { maxLength: 10 }), (lines, cuts) => {
      const bytes = encodeUtf8(lines.map((text) => `${text}\n`).join(""));
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      const splitter = new LineSplitter(4096);
      const got = places.flatMap((place, index) =>
        splitter.push(bytes.subarray(place, places[index + 1] ?? place)),
      );
      expect(got).toEqual(lines);
    }),
  );
});

test("a line of the limit passes and one byte more is refused, ended or not", () => {
  expect(new LineSplitter(8).push(encodeUtf8("1234567\n"))).toEqual(["1234567"]);
  expect(() => new LineSplitter(8).push(encodeUtf8("12345678\n"))).toThrow("request_too_large");
  const slow = new LineSplitter(8);
  expect(slow.push(encodeUtf8("1234"))).toEqual([]);
  expect(slow.push(encodeUtf8("5678"))).toEqual([]);
  expect(() => slow.push(encodeUtf8("9"))).toThrow("request_too_large");
});

test("bytes that are not UTF-8 are refused", () => {
  expect(() => new LineSplitter(8).push(Uint8Array.of(0xff, 0x0a))).toThrow("request_malformed");
});
