import { describe, expect, it } from "vitest";
import { parseActionName } from "../action.ts";
import { TrustWardenError } from "../error.ts";
import type { Json } from "../json.ts";
import { askOf, formatPolicyName, parsePolicyData } from "./policy-data.ts";

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
  asks: {
    delete: { at: ["gateway"], why: "It is gone then." },
    "delete:cache": { at: [], why: "It fills again." },
  },
  taint: ["private", "untrusted"],
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
      asks: policy.asks,
      taint: ["private", "untrusted"],
      operatorVerbs: ["read", "stop"],
      roles: {},
    });
    expect(formatPolicyName(data)).toBe("finance-prod-v2.3");
  });

  it.each<[string, Json]>([
    ["no policy", {}],
    ["a second document", { policy, more: {} }],
    ["a role that is missing", { policy: { ...policy, roles: { anybody: [], owner: [], admin: [] } } }],
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
    ["no list of what asks", { policy: { ...policy, asks: [] } }],
    [
      "a question at nowhere that is known",
      { policy: { ...policy, asks: { delete: { at: ["moon"], why: "x" } } } },
    ],
    [
      "a question without its reason",
      { policy: { ...policy, asks: { delete: { at: ["gateway"], why: "" } } } },
    ],
    [
      "a question with an escape sequence",
      { policy: { ...policy, asks: { delete: { at: [], why: "\u001b[2J" } } } },
    ],
    ["a question about a path", { policy: { ...policy, asks: { "delete:a:b": { at: [], why: "x" } } } }],
    ["no taint", { policy: { ...policy, taint: [] } }],
    ["a taint that is no label", { policy: { ...policy, taint: ["Private data"] } }],
    ["a list", []],
    ["nothing", null],
  ])("with %s is refused", (_, document) => {
    expect(codeOf(document)).toBe("policy_data_malformed");
  });

  it("says where an action asks a human, the more exact name first", () => {
    const data = parsePolicyData({ policy });
    const at = (name: string) => askOf(parseActionName(name), data)?.at;
    expect(at("delete:rows:a")).toEqual(["gateway"]);
    expect(at("delete:cache:a")).toBeUndefined();
    expect(at("write:rows")).toBeUndefined();
    expect(at("constructor:rows")).toBeUndefined();
  });

  it("may forbid 4,096 actions", () => {
    expect(codeOf({ policy: { ...policy, forbidden: Array.from({ length: 4096 }, () => "a:b") } })).toBe(
      "nothing was thrown",
    );
  });
});
