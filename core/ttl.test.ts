/** Lifetimes: one spelling each, everything else refused. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseTtl, requireTtlSeconds } from "./ttl.ts";

test("a lifetime is an integer and one unit", () => {
  expect(parseTtl("30s")).toBe(30);
  expect(parseTtl("10m")).toBe(600);
  expect(parseTtl("1h")).toBe(3600);
  expect(parseTtl("7d")).toBe(604_800);
});

test.each([
  "0s",
  "-1s",
  "+1s",
  "NaN",
  "1e309",
  "1h; drop",
  "10y",
  "1.5h",
  " 1h",
  "1h ",
  "1h\n",
  "01h",
  "1H",
  "h",
  "1",
  "",
  "1h30m",
  "٣h",
  "1000000000s",
])("B15 refuses %j as a lifetime", (text) => {
  expect(() => parseTtl(text)).toThrow(expect.objectContaining({ code: "ttl_malformed" }));
});

test("B15 the longest lifetime is just under ten years", () => {
  expect(parseTtl("3649d")).toBe(315_273_600);
  expect(parseTtl("315359999s")).toBe(315_359_999);
  expect(() => parseTtl("3650d")).toThrow(expect.objectContaining({ code: "ttl_malformed" }));
  expect(() => parseTtl("315360000s")).toThrow(expect.objectContaining({ code: "ttl_malformed" }));
});

test.each([0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 315_360_000])(
  "B15 refuses the number %d as a lifetime",
  (ttlSeconds) => {
    expect(() => requireTtlSeconds(ttlSeconds)).toThrow(expect.objectContaining({ code: "ttl_malformed" }));
  },
);

test("no text gives anything but a positive integer or the refusal", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{1,12}[smhdy]?$/)), (text) => {
      try {
        requireTtlSeconds(parseTtl(text));
      } catch (error) {
        expect(error).toMatchObject({ code: "ttl_malformed" });
      }
    }),
  );
});
