import { describe, expect, it } from "vitest";
import { encodeUtf8 } from "../bytes.ts";
import {
  formatPolicyDigest,
  formatPolicySum,
  policyFilesOf,
  verifyPolicyFiles,
} from "./evidence-policies.ts";

const [one, two] = ["one", "two"].map((name) => ({
  wasm: encodeUtf8(name),
  data: encodeUtf8(`{"is":"${name}"}`),
}));
if (one === undefined || two === undefined) throw new Error("there are two");
const digests = [formatPolicyDigest(one), formatPolicyDigest(two)] as const;
const held = new Map([
  [digests[0], one],
  [digests[1], two],
]);
const sum = formatPolicySum(digests);
const refusal = expect.objectContaining({ code: "evidence_bundle_invalid" });

describe("policies in an evidence bundle", () => {
  it("are one, or those that decided together with what they are the sum of", () => {
    expect(verifyPolicyFiles(policyFilesOf(digests[1], held))).toEqual(new Set([digests[1]]));
    expect(verifyPolicyFiles(policyFilesOf(sum, held))).toEqual(new Set([sum, ...digests]));
    expect(verifyPolicyFiles(new Map([["entries/1.json", encodeUtf8("{}")]]))).toEqual(new Set());
  });

  it("are left out when they are not all at hand, or decided in another order", () => {
    expect(policyFilesOf(sum, new Map([[digests[0], one]])).size).toBe(0);
    expect(policyFilesOf(formatPolicySum([digests[1], digests[0]]), held).size).toBe(0);
    expect(policyFilesOf("A".repeat(43), held).size).toBe(0);
  });

  it.each(["policy.wasm", "data.json", "parts"])("are refused with another %s, and without one", (name) => {
    const files = policyFilesOf(sum, held);
    const [path = ""] = [...files.keys()].filter((key) => key.endsWith(name));
    expect(() => verifyPolicyFiles(new Map([...files, [path, encodeUtf8("other")]]))).toThrow(refusal);
    const without = new Map(files);
    without.delete(path);
    // Without the folder of a sum there is no sum, and the rest is what it is.
    if (name === "parts") expect(verifyPolicyFiles(without)).toEqual(new Set(digests));
    else expect(() => verifyPolicyFiles(without)).toThrow(refusal);
  });

  it("are refused beside a file that is no policy's, and as a sum of what is not here", () => {
    const files = policyFilesOf(sum, held);
    expect(() => verifyPolicyFiles(new Map([...files, ["policies/readme", one.data]]))).toThrow(refusal);
    const [parts] = [...files].filter(([path]) => path.endsWith("parts"));
    expect(() => verifyPolicyFiles(new Map(parts === undefined ? [] : [parts]))).toThrow(refusal);
  });
});
