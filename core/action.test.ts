import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ActionClasses, classOf, parseActionName, partsOf } from "./action.ts";
import { TrustWardenError } from "./error.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

describe("the name of an action", () => {
  it.each([
    "read:transactions",
    "issue:jwt-svid",
    "read:tx:2026/March",
    "read:tx:__proto__",
    "constructor:prototype",
  ])("may be %s", (text) => {
    expect(parseActionName(text)).toBe(text);
  });

  it.each([
    ["a wildcard verb", "*:tx"],
    ["a wildcard type", "read:*"],
    ["a wildcard segment", "read:tx:*"],
    ["an open end", "read:tx:a/**"],
    ["no type", "read"],
    ["an empty path", "read:tx:"],
    ["a dot segment", "read:tx:a/../b"],
    ["a single dot", "read:tx:a/."],
    ["an upper-case verb", "Read:tx"],
    ["an encoded NUL", "read:tx%00"],
    ["a newline at the end", "read:tx\n"],
    ["a quotation mark", 'read:tx"'],
    ["Rego", "read:tx:a } allow := true {"],
    ["a prototype", "__proto__:tx"],
    ["nothing", ""],
  ])("may not have %s", (_, text) => {
    expect(codeOf(() => parseActionName(text))).toBe("action_malformed");
  });

  it("may have 1,024 characters and not 1,025", () => {
    expect(parseActionName(`read:tx:${"a".repeat(1016)}`)).toHaveLength(1024);
    expect(codeOf(() => parseActionName(`read:tx:${"a".repeat(1017)}`))).toBe("action_malformed");
  });

  it("has to be text", () => {
    expect(codeOf(() => parseActionName(JSON.parse('["read:tx"]')))).toBe("action_malformed");
  });

  it("falls into its parts and back", () => {
    expect(partsOf(parseActionName("read:tx:a/b"))).toEqual({ verb: "read", type: "tx", path: "a/b" });
    expect(partsOf(parseActionName("read:tx"))).toEqual({ verb: "read", type: "tx", path: "" });
  });

  it("never crashes on any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(codeOf(() => parseActionName(text))).toBe("action_malformed");
      }),
    );
  });
});

describe("the class of an action", () => {
  const classes: ActionClasses = { read: "C", write: "B", delete: "A", "read:secret": "A" };

  it.each([
    ["read:tx:a", "C"],
    ["write:tx", "B"],
    ["delete:tx", "A"],
    ["read:secret:a", "A"],
    ["reed:tx", "A"],
    ["constructor:tx", "A"],
    ["toString:tx".toLowerCase(), "A"],
  ] as const)("of %s is %s", (text, expected) => {
    expect(classOf(parseActionName(text), classes)).toBe(expected);
  });

  it("of everything is A without policy data", () => {
    expect(classOf(parseActionName("read:tx"), {})).toBe("A");
  });
});
