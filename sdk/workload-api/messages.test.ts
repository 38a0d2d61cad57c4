import { TrustWardenError } from "@trustwarden/core/error.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  encodeJwtSvidRequest,
  encodeValidateRequest,
  parseJwtBundlesResponse,
  parseJwtSvidResponse,
  parseX509Response,
} from "./messages.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const refused = expect.objectContaining({ code: "workload_answer_refused" });

describe("messages of the Workload API", () => {
  it("writes requests by the wire table", () => {
    expect(Buffer.from(encodeJwtSvidRequest(["a", "b"], "")).toString("hex")).toBe("0a01610a0162");
    expect(Buffer.from(encodeJwtSvidRequest(["a"], "x")).toString("hex")).toBe("0a0161120178");
    expect(
      Buffer.from(encodeValidateRequest("a", "t".repeat(200)))
        .subarray(0, 6)
        .toString("hex"),
    ).toBe("0a016112c801");
  });

  it("reads answers, and leaves out fields that nobody knows", () => {
    const svid = "0a 03 0a0161 9a06 01 61 c03e 07 cd3e 01020304";
    expect(parseJwtSvidResponse(hex(svid))).toEqual([{ spiffeId: "a", svid: "", hint: "" }]);
    expect(parseX509Response(hex(""))).toEqual({ svids: [], federatedBundles: new Map() });
  });

  it.each([
    ["a field that is cut off", "0a 05 61"],
    ["a number without an end", "08 ffffffffffffffffffffff"],
    ["a group", "0b"],
    ["field number 0", "02 00"],
    ["a fixed field that is cut off", "0d 0102"],
    ["text that is not UTF-8", "0a 04 0a02c328"],
  ])("refuses %s", (_name, text) => {
    expect(() => parseJwtSvidResponse(hex(text))).toThrow(refused);
  });

  it("refuses two bundles of one trust domain", () => {
    const entry = "0a 06 0a0161 120162";
    expect(parseJwtBundlesResponse(hex(entry)).size).toBe(1);
    expect(() => parseJwtBundlesResponse(hex(entry + entry))).toThrow(refused);
  });

  it("never fails in another way, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          parseX509Response(bytes);
          parseJwtSvidResponse(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
  });
});
