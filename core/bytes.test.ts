import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  concatBytes,
  encodeBase64,
  encodeBase64url,
  encodeHex,
  encodeUtf8,
  isEqualBytes,
  parseBase64,
  parseBase64url,
  parseUtf8,
} from "./bytes.ts";
import { TrustWardenError } from "./error.ts";

const malformed = (run: () => unknown, code: string) =>
  expect(run).toThrow(expect.objectContaining({ code, name: TrustWardenError.name }));

describe("bytes and their text forms", () => {
  it("round-trips every byte string", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(isEqualBytes(parseBase64url(encodeBase64url(bytes)), bytes)).toBe(true);
        expect(isEqualBytes(parseBase64(encodeBase64(bytes)), bytes)).toBe(true);
        expect(encodeHex(bytes)).toHaveLength(bytes.length * 2);
      }),
    );
  });

  it.each(["YQ==", "YQ ", "Y Q", "YR", "Y", "YQ\n", "+/", "YWJj="])(
    "D5 refuses the other base64url spelling %j",
    (text) => {
      malformed(() => parseBase64url(text), "base64_malformed");
    },
  );

  it.each([
    "YQ",
    "YQ=",
    "YR==",
    "-_==",
    "YQ== ",
    "Y\nQ==",
    "YQ=\t=",
    " YWJj",
    "YWJj\f",
    "YWJjYQ",
    "=",
    "====",
  ])("refuses the other base64 spelling %j", (text) => {
    malformed(() => parseBase64(text), "base64_malformed");
  });

  it("accepts exactly one spelling for each value", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(encodeBase64url(parseBase64url(text))).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
  });

  it("reads base64 by the engine exactly as it would be written again, whatever is put into it", () => {
    const near = fc.tuple(
      fc.uint8Array({ maxLength: 9 }),
      fc.nat(12),
      fc.constantFrom("", "=", " ", "\n", "-", "A", "é"),
    );
    fc.assert(
      fc.property(near, ([bytes, at, odd]) => {
        const text = encodeBase64(bytes);
        const bent = text.slice(0, at) + odd + text.slice(at);
        const isWritten = Buffer.from(bent, "base64").toString("base64") === bent;
        if (isWritten) expect(encodeBase64(parseBase64(bent))).toBe(bent);
        else malformed(() => parseBase64(bent), "base64_malformed");
      }),
    );
  });

  it("gives bytes that share no memory with others", () => {
    for (const bytes of [parseBase64url("AQID"), parseBase64("AQID")]) {
      expect(bytes.buffer.byteLength).toBe(3);
    }
  });

  it("refuses bytes that are not UTF-8", () => {
    malformed(() => parseUtf8(Uint8Array.of(0xff)), "request_malformed");
    expect(parseUtf8(encodeUtf8("\ufeffé"))).toBe("\ufeffé");
  });

  it("joins parts in order", () => {
    expect([...concatBytes(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3))]).toEqual([1, 2, 3]);
  });
});
