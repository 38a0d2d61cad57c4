/** Names that look alike have one look, and names that do not have not. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LOOKS, lookOf } from "./look.ts";
import { parseAgentName } from "./names.ts";

const CHARS = "abcdefghijklmnopqrstuvwxyz0123456789._-";
const name = fc
  .array(fc.constantFrom(...CHARS), { minLength: 1, maxLength: 40 })
  .map((chars) => chars.join(""));

describe("the look of a name", () => {
  it.each([
    ["payment-bot", "payment-b0t"],
    ["billing", "bi11ing"],
    ["billing", "bllllng"],
    ["intern", "intem"],
    ["pay-bot", "pay_bot"],
    ["modern-i0", "modem_lo"],
  ])("is the same for %s and %s", (left, right) => {
    expect(lookOf(left)).toBe(lookOf(right));
  });

  it.each([
    ["worker-0", "worker-1"],
    ["worker-10", "worker-01"],
    ["a.b", "a-b"],
    ["bot", "bots"],
    ["nm", "mn"],
    ["vv", "w"],
  ])("is another for %s and %s", (left, right) => {
    expect(lookOf(left)).not.toBe(lookOf(right));
  });

  it("is kept by every exchange of what looks alike, wherever it stands", () => {
    fc.assert(
      fc.property(name, name, fc.constantFrom(...LOOKS), (before, after, [from, to]) => {
        expect(lookOf(`${before}${from}${after}`)).toBe(lookOf(`${before}${to}${after}`));
      }),
    );
  });

  it("is its own look, and as far as it goes the name of a name", () => {
    fc.assert(
      fc.property(name, (text) => {
        expect(lookOf(lookOf(text))).toBe(lookOf(text));
      }),
    );
  });

  it("needs nothing beyond ASCII: there is no such name", () => {
    fc.assert(
      fc.property(name, name, fc.integer({ min: 0x80, max: 0x10ffff }), (before, after, point) => {
        fc.pre(point < 0xd800 || point > 0xdfff);
        expect(() => parseAgentName(`${before}${String.fromCodePoint(point)}${after}`)).toThrow(
          "name_malformed",
        );
      }),
    );
    for (const upper of ["A", "I", "O", "L"])
      expect(() => parseAgentName(`x${upper}`)).toThrow("name_malformed");
  });
});
