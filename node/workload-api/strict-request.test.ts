import { describe, expect, it } from "vitest";
import { requireWholeFields } from "./strict-request.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

describe("a request", () => {
  it("is whole fields, also such as nobody knows yet", () => {
    for (const whole of [
      "",
      "0a 03 616263",
      "0a 00",
      "08 9601",
      "0d 01020304",
      "09 0102030405060708",
      "ba3e 01 61",
    ])
      expect(() => requireWholeFields(hex(whole))).not.toThrow();
  });

  it.each([
    ["a text longer than the message", "0a 04 616263"],
    ["a length of 4 GiB", "0a ffffffff0f 01"],
    ["a length without an end", "0a ffffffffffffffffffffff"],
    ["a number that ends early", "08 96"],
    ["four bytes of which three came", "0d 010203"],
    ["text that is not UTF-8", "0a 02 c328"],
    ["a group", "0b"],
    ["field number 0", "02 01 61"],
  ])("is refused for %s", (_name, text) => {
    expect(() => requireWholeFields(hex(text))).toThrow(RangeError);
  });
});
