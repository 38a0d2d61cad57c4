import { describe, expect, it } from "vitest";
import { TrustWardenError } from "../error.ts";
import type { Json } from "../json.ts";
import { formatPolicyName, parsePolicyData } from "./policy-data.ts";

function codeOf(document: Json): string {
  try {
    parsePolicyData(document);
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

const policy = {
  name: "finance-prod",
  version: "v2.3",
  classes: { read: "C", "read:secret": "A" },
  forbidden: ["delete:transactions", "pay:bills:large"],
  operator_verbs: ["read", "stop"],
};

describe("policy data", () => {
  it("is parsed, and named as decisions name it", () => {
    const data = parsePolicyData({ policy });
    expect(data).toEqual({
      name: "finance-prod",
      version: "v2.3",
      classes: { read: "C", "read:secret": "A" },
      forbidden: ["delete:transactions", "pay:bills:large"],
      operatorVerbs: ["read", "stop"],
    });
    expect(formatPolicyName(data)).toBe("finance-prod-v2.3");
  });

  it.each<[string, Json]>([
    ["no policy", {}],
    ["a second document", { policy, more: {} }],
    ["a misspelt member", { policy: { ...policy, forbiden: [] } }],
    ["no list of forbidden actions", { policy: { ...policy, forbidden: null } }],
    ["a wildcard in a forbidden action", { policy: { ...policy, forbidden: ["delete:*"] } }],
    ["a verb alone among the forbidden", { policy: { ...policy, forbidden: ["delete"] } }],
    ["a number among the forbidden", { policy: { ...policy, forbidden: [7] } }],
    ["no classes", { policy: { ...policy, classes: {} } }],
    ["a class in lower case", { policy: { ...policy, classes: { read: "c" } } }],
    ["a class for a path", { policy: { ...policy, classes: { "read:a:b": "C" } } }],
    ["a class for an upper-case verb", { policy: { ...policy, classes: { READ: "C" } } }],
    ["a wildcard among the operators' verbs", { policy: { ...policy, operator_verbs: ["*"] } }],
    ["a name with a space", { policy: { ...policy, name: "finance prod" } }],
    ["a version without its v", { policy: { ...policy, version: "2.3" } }],
    [
      "4,097 forbidden actions",
      { policy: { ...policy, forbidden: Array.from({ length: 4097 }, () => "a:b") } },
    ],
    ["a list", []],
    ["nothing", null],
  ])("with %s is refused", (_, document) => {
    expect(codeOf(document)).toBe("policy_data_malformed");
  });

  it("may forbid 4,096 actions", () => {
    expect(codeOf({ policy: { ...policy, forbidden: Array.from({ length: 4096 }, () => "a:b") } })).toBe(
      "nothing was thrown",
    );
  });
});
