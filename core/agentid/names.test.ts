/** Which names an agent or a verifier may have. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseAgentLabel, parseVerifierName, segmentsOf } from "./names.ts";
import { formatSpiffeId, parseTrustDomain } from "./spiffe-id.ts";

const refused = expect.objectContaining({ code: "name_malformed" });

test("an agent has a name and, optionally, a path", () => {
  expect(segmentsOf(parseAgentLabel({ path: "team/finance", name: "payment-agent" }))).toEqual([
    "team",
    "finance",
    "payment-agent",
  ]);
  expect(segmentsOf(parseAgentLabel({ path: "", name: "a" }))).toEqual(["a"]);
});

test.each([
  "",
  "A",
  "-a",
  ".a",
  "_a",
  "..",
  "a/b",
  "a b",
  "a%2f",
  "ä",
  "a\n",
  "a:b",
  "inst-x",
  "inst-",
  "a".repeat(64),
])("refuses %j as a name and as a path segment", (segment) => {
  expect(() => parseAgentLabel({ path: "team", name: segment })).toThrow(refused);
  expect(() => parseVerifierName(segment)).toThrow(refused);
  if (segment !== "" && segment !== "a/b")
    expect(() => parseAgentLabel({ path: segment, name: "a" })).toThrow(refused);
});

test("a segment has at most 63 characters", () => {
  expect(parseAgentLabel({ path: "", name: "a".repeat(63) }).name).toHaveLength(63);
});

test.each(["/a", "a/", "a//b", "a/../b", "a/./b", "a/inst-1/b"])("refuses the path %j", (path) => {
  expect(() => parseAgentLabel({ path, name: "a" })).toThrow(refused);
});

test("a path has at most eight segments and 255 characters", () => {
  expect(parseAgentLabel({ path: "a/b/c/d/e/f/g/h", name: "a" }).name).toBe("a");
  expect(() => parseAgentLabel({ path: "a/b/c/d/e/f/g/h/i", name: "a" })).toThrow(refused);
  const segment = "a".repeat(63);
  expect(parseAgentLabel({ path: [segment, segment, segment, segment].join("/"), name: "a" }).name).toBe("a");
  expect(() =>
    parseAgentLabel({ path: [segment, segment, segment, segment, "a"].join("/"), name: "a" }),
  ).toThrow(refused);
});

test("nothing of an agent lies under /trustwarden", () => {
  expect(() => parseAgentLabel({ path: "trustwarden", name: "server" })).toThrow(refused);
  expect(() => parseAgentLabel({ path: "trustwarden/verifier", name: "a" })).toThrow(refused);
  expect(() => parseAgentLabel({ path: "", name: "trustwarden" })).toThrow(refused);
  expect(() => parseAgentLabel({ path: "", name: "trustwarden-2" })).toThrow(refused);
  expect(parseAgentLabel({ path: "team", name: "trustwarden" }).name).toBe("trustwarden");
});

test("a verifier's name has no dots", () => {
  expect(parseVerifierName("finance_db-1")).toBe("finance_db-1");
  expect(() => parseVerifierName("a.b")).toThrow(refused);
});

test("every accepted label makes a SPIFFE ID", () => {
  const domain = parseTrustDomain("acme.test");
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z0-9._/-]{0,40}$/),
      fc.stringMatching(/^[a-z0-9._-]{0,70}$/),
      (path, name) => {
        try {
          const segments = segmentsOf(parseAgentLabel({ path, name }));
          expect(formatSpiffeId(domain, segments)).toBe(`spiffe://acme.test/${segments.join("/")}`);
        } catch (error) {
          expect(error).toMatchObject({ code: "name_malformed" });
        }
      },
    ),
  );
});
