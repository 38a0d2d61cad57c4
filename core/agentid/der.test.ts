import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { nested } from "./certificate.test.support.ts";
import { encodeDerSignature, parseDerSignature } from "./certificate-signature.ts";
import {
  DER_TAG,
  parseBitString,
  parseBoolean,
  parseDer,
  parseMembers,
  parseNamedBits,
  parseOid,
  parsePositiveInteger,
  parsePrintable,
  parseSmallInteger,
  parseTime,
} from "./der-reader.ts";
import {
  encodeBitString,
  encodeElement,
  encodeInteger,
  encodeNamedBits,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
  encodeTrue,
} from "./der-writer.ts";

const refused = expect.objectContaining({ code: "der_malformed" });
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
const element = (hex: string) => parseDer(bytes(hex));

describe("parseDer", () => {
  it("reads one element that fills the input", () => {
    expect(element("04 02 aabb")).toEqual({ tag: 4, content: bytes("aabb"), raw: bytes("0402aabb") });
    expect(parseDer(encodeOctetString(new Uint8Array(127))).content).toHaveLength(127);
    expect(parseDer(encodeOctetString(new Uint8Array(128))).content).toHaveLength(128);
    expect(parseDer(encodeOctetString(new Uint8Array(256))).content).toHaveLength(256);
  });

  it("refuses trailing bytes, truncation and empty input", () => {
    for (const hex of ["", "04", "0401", "0402aa", "0400aa", "048180", "0482", "048201"]) {
      expect(() => element(hex), hex).toThrow(refused);
    }
  });

  it("refuses indefinite, long and non-minimal lengths and high tag numbers", () => {
    const long = "00".repeat(0x7f);
    for (const hex of [
      "0480aa0000",
      "048101aa",
      `04817f${long}`,
      "04820001aa",
      `0482007f${long}`,
      "0483000001aa",
      "04ff",
      "1f8101aa",
      "bf2000",
    ]) {
      expect(() => element(hex), hex.slice(0, 20)).toThrow(refused);
    }
  });

  it("accepts 16 KiB and refuses one byte more", () => {
    expect(parseDer(encodeOctetString(new Uint8Array(16_380))).raw).toHaveLength(16_384);
    expect(() => parseDer(encodeOctetString(new Uint8Array(16_381)))).toThrow(refused);
  });

  it("accepts 64 members and refuses 65", () => {
    const members = (count: number) =>
      parseMembers(parseDer(encodeSequence(...Array(count).fill(encodeTrue()))), 0x30);
    expect(members(64)).toHaveLength(64);
    expect(() => members(65)).toThrow(refused);
  });

  it("B14 reads only the outermost of ten thousand nested elements", () => {
    expect(() => parseDer(nested(10_000))).toThrow(refused);
    const deep = nested(4000);
    expect(deep.length).toBeLessThan(16_384);
    expect(parseMembers(parseDer(deep), 0x30)).toHaveLength(1);
  });

  it("never throws anything but der_malformed, whatever the bytes", () => {
    const shaped = fc.tuple(
      fc.constantFrom(2, 3, 6, 0x17, 0x18, 0x30, 0x31),
      fc.uint8Array({ maxLength: 40 }),
    );
    const input = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      shaped.map(([tag, content]) => encodeElement(tag, content)),
    );
    fc.assert(
      fc.property(input, (der) => {
        for (const read of [
          parseOid,
          parseTime,
          parsePositiveInteger,
          parseNamedBits,
          parseBitString,
          parseBoolean,
        ]) {
          try {
            read(parseDer(der));
          } catch (error) {
            expect(error).toBeInstanceOf(TrustWardenError);
            expect(error).toEqual(refused);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("accepts exactly what the writer writes: a read value is written back to the same bytes", () => {
    fc.assert(
      fc.property(fc.constantFrom(2, 6, 0x17, 0x18), fc.uint8Array({ maxLength: 12 }), (tag, content) => {
        const der = encodeElement(tag, content);
        let again: Uint8Array;
        try {
          if (tag === 2) again = encodeInteger(parsePositiveInteger(parseDer(der)));
          else if (tag === 6) again = encodeOid(parseOid(parseDer(der)));
          else again = encodeTime(parseTime(parseDer(der)));
        } catch (error) {
          expect(error).toEqual(refused);
          return;
        }
        expect(again).toEqual(der);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("DER values", () => {
  it("integers are positive and minimal", () => {
    expect(parsePositiveInteger(element("0201 01"))).toEqual(bytes("01"));
    expect(parsePositiveInteger(element("0202 0080"))).toEqual(bytes("80"));
    for (const hex of ["0200", "020100", "0201ff", "020180", "02020001", "0202007f", "0202ff80"]) {
      expect(() => parsePositiveInteger(element(hex)), hex).toThrow(refused);
    }
    expect(parseSmallInteger(element("020100"))).toBe(0);
    expect(parseSmallInteger(element("02017f"))).toBe(127);
    for (const hex of ["0200", "020180", "02020080"])
      expect(() => parseSmallInteger(element(hex)), hex).toThrow(refused);
  });

  it("booleans are 00 or FF", () => {
    expect(parseBoolean(element("0101ff"))).toBe(true);
    expect(parseBoolean(element("010100"))).toBe(false);
    for (const hex of ["0100", "010101", "0102ffff"])
      expect(() => parseBoolean(element(hex)), hex).toThrow(refused);
  });

  it("object identifiers have one spelling", () => {
    for (const oid of ["1.2.840.10045.4.3.2", "2.5.29.17", "0.0", "1.39", "2.999.3"]) {
      expect(parseOid(parseDer(encodeElement(6, ...[encodeOid(oid).subarray(2)])))).toBe(oid);
    }
    for (const hex of ["0600", "060180", "06022a80", "06032a8001", `0621${"2a".repeat(33)}`]) {
      expect(() => parseOid(element(hex)), hex).toThrow(refused);
    }
  });

  it("bit strings hold whole bytes, named bits no padding", () => {
    expect(parseBitString(parseDer(encodeBitString(bytes("aa"))))).toEqual(bytes("aa"));
    for (const hex of ["0300", "030201aa"]) expect(() => parseBitString(element(hex)), hex).toThrow(refused);
    expect([...parseNamedBits(parseDer(encodeNamedBits(0)))]).toEqual([0]);
    expect([...parseNamedBits(parseDer(encodeNamedBits(5, 6)))]).toEqual([5, 6]);
    expect([...parseNamedBits(element("0303 07 0080"))]).toEqual([8]);
    for (const hex of ["0300", "030100", "03020700", "03020080", "03020781", "03020880", "0304000000 01"]) {
      expect(() => parseNamedBits(element(hex)), hex).toThrow(refused);
    }
  });

  it("times are real instants in the type of their year", () => {
    const time = (tag: number, text: string) => parseTime(parseDer(encodeElement(tag, encodeUtf8(text))));
    expect(time(0x17, "700101000000Z")).toBe(0);
    expect(time(0x17, "491231235959Z")).toBe(2_524_607_999);
    expect(time(0x18, "20500101000000Z")).toBe(2_524_608_000);
    expect(time(0x18, "99991231235959Z")).toBe(253_402_300_799);
    const bad: readonly (readonly [number, string])[] = [
      [0x17, "7001010000Z"],
      [0x17, "700101000000"],
      [0x17, "700101000000+0000"],
      [0x17, "700101000000.0Z"],
      [0x17, "700230000000Z"],
      [0x17, "701301000000Z"],
      [0x17, "700101240000Z"],
      [0x17, "700101006000Z"],
      [0x17, "700101000060Z"],
      [0x17, "700100000000Z"],
      [0x18, "20491231235959Z"],
      [0x18, "20500101000000.5Z"],
      [0x18, "500101000000Z"],
      [0x16, "700101000000Z"],
      [0x18, "00500101000000Z"],
    ];
    for (const [tag, text] of bad) expect(() => time(tag, text), text).toThrow(refused);
    for (const seconds of [0, 1_794_694_400, 2_524_607_999, 2_524_608_000]) {
      expect(parseTime(parseDer(encodeTime(seconds)))).toBe(seconds);
    }
  });

  it("text is printable and has no NUL", () => {
    expect(parsePrintable(encodeUtf8("spiffe://td/a"))).toBe("spiffe://td/a");
    for (const text of ["a\0b", "a b", "a\n", "ä", "\x7f"]) {
      expect(() => parsePrintable(encodeUtf8(text)), text).toThrow(refused);
    }
  });

  it("a missing element and an unexpected tag are refused", () => {
    expect(() => parseMembers(undefined, DER_TAG.sequence)).toThrow(refused);
    expect(() => parseMembers(element("3100"), DER_TAG.sequence)).toThrow(refused);
    expect(() => parseTime(undefined)).toThrow(refused);
  });
});

describe("signatures in DER", () => {
  it("come back as the 64 bytes they were", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (signature) => {
        fc.pre(
          signature.subarray(0, 32).some((byte) => byte > 0) &&
            signature.subarray(32).some((byte) => byte > 0),
        );
        expect(parseDerSignature(encodeDerSignature(signature))).toEqual(signature);
      }),
    );
  });

  it("refuse zero, negative, padded, oversized and extra integers", () => {
    const one = bytes("020101");
    for (const bad of ["020100", "0201ff", "02020001", `0221 01${"00".repeat(32)}`]) {
      expect(() => parseDerSignature(encodeSequence(bytes(bad), one)), bad).toThrow(refused);
      expect(() => parseDerSignature(encodeSequence(one, bytes(bad))), bad).toThrow(refused);
    }
    for (const der of [
      encodeSequence(one),
      encodeSequence(one, one, one),
      concatBytes(encodeSequence(one, one), one),
    ]) {
      expect(() => parseDerSignature(der)).toThrow(refused);
    }
  });
});
