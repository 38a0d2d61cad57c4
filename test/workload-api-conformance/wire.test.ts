import { describe, expect, it } from "vitest";
import { bytesOf, encodeField, encodeVarint, mapOf, parseFields, textOf } from "./wire.ts";

describe("the wire format of the suite", () => {
  it("reads the example of protobuf's documentation: field 1 is 150, field 2 is testing", () => {
    const fields = parseFields(Buffer.from("08960112077465737469 6e67".replaceAll(" ", ""), "hex"));
    expect(fields.get(1)).toEqual([150n]);
    expect(textOf(fields, 2)).toBe("testing");
  });

  it("reads what it writes, the last of repeated values counting where there is one", () => {
    const fields = parseFields(
      Buffer.concat([encodeField(3, "a"), encodeField(3, "b"), encodeField(99, "c")]),
    );
    expect(bytesOf(fields, 3).map((bytes) => Buffer.from(bytes).toString())).toEqual(["a", "b"]);
    expect(textOf(fields, 3)).toBe("b");
    expect(textOf(fields, 99)).toBe("c");
    expect(encodeVarint(300)).toEqual(Uint8Array.of(0xac, 2));
  });

  it.each([
    ["a field longer than the message", "0a05616263"],
    ["a varint without an end", "08ffffffffffffffffffff01"],
    ["a group", "0b"],
    ["field number 0", "0201"],
  ])("refuses %s", (_name, hex) => {
    expect(() => parseFields(Buffer.from(hex, "hex"))).toThrow("protobuf");
  });

  it("refuses a map with a key twice, and text that is not UTF-8", () => {
    const entry = encodeField(1, Buffer.concat([encodeField(1, "k"), encodeField(2, "v")]));
    expect(mapOf(parseFields(entry), 1).size).toBe(1);
    expect(() => mapOf(parseFields(Buffer.concat([entry, entry])), 1)).toThrow("a key twice");
    expect(() => textOf(parseFields(encodeField(1, Uint8Array.of(0xff))), 1)).toThrow(TypeError);
  });
});
