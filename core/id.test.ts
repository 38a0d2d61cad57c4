import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatUlid, formatUuidV7, parseEventId } from "./id.ts";

const zeros = (length: number) => new Uint8Array(length);
const ones = (length: number) => new Uint8Array(length).fill(0xff);

describe("identifiers", () => {
  it("writes the ULID of a known time and randomness", () => {
    expect(formatUlid(0, zeros)).toBe("00000000000000000000000000");
    expect(formatUlid(281_474_976_710_655, ones)).toBe("7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  });

  it("writes UUIDv7 with its version and variant, whatever the randomness", () => {
    expect(formatUuidV7(1_645_557_742_000, zeros)).toBe("017f22e2-79b0-7000-8000-000000000000");
    fc.assert(
      fc.property(
        fc.nat({ max: 2 ** 47 }),
        fc.uint8Array({ minLength: 10, maxLength: 10 }),
        (nowMs, random) => {
          const id = formatUuidV7(nowMs, () => random);
          expect(parseEventId(id)).toBe(id);
        },
      ),
    );
  });

  it("sorts by time", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 46 }), fc.integer({ min: 1, max: 2 ** 40 }), (nowMs, later) => {
        expect(formatUlid(nowMs, ones) < formatUlid(nowMs + later, zeros)).toBe(true);
        expect(formatUuidV7(nowMs, ones) < formatUuidV7(nowMs + later, zeros)).toBe(true);
      }),
    );
  });

  it.each([
    "017F22E2-79B0-7000-8000-000000000000",
    "017f22e2-79b0-4000-8000-000000000000",
    "017f22e2-79b0-7000-c000-000000000000",
    "017f22e279b070008000000000000000",
    "",
  ])("refuses %j as an event id", (text) => {
    expect(() => parseEventId(text)).toThrow(expect.objectContaining({ code: "record_malformed" }));
  });
});
