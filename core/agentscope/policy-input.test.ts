import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "../error.ts";
import { parsePolicyInput } from "./policy-input.ts";

function codeOf(value: unknown): string {
  try {
    parsePolicyInput(value);
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

const input = {
  action: { name: "read:tx:a", verb: "read", type: "tx", path: "a" },
  resource: "postgres://finance-db/transactions",
  class: "C",
  plane: "data",
  subject: "none",
  enforcement: "service",
  principal: {
    kind: "agent",
    id: "spiffe://acme.test/a/inst-1",
    class_id: "spiffe://acme.test/a",
    owner_id: "own_1",
    custody: "agent",
    roles: [],
  },
  agent: { attested: { type: "none", strength: "none", selectors: [] }, composition_sha256: "" },
  chain: ["agt_1"],
  scope: { covered: true, links: 1 },
  view: { fresh: true, epoch: 7 },
  arguments: { table: "reports", rows: [1, 2.5, true, null], where: { year: 2026 } },
  labels: ["private", "untrusted"],
  outside: true,
  frozen: false,
  approved: false,
};

describe("a policy input", () => {
  it("comes back as it is", () => {
    expect(parsePolicyInput(input)).toEqual(input);
  });

  it.each([
    ["a member too many", { ...input, admin: true }],
    [
      "an unknown member of the principal",
      { ...input, principal: { ...input.principal, rights: ["admin"] } },
    ],
    ["an unknown member of the action", { ...input, action: { ...input.action, scope: "*" } }],
    [
      "an inherited member",
      Object.assign(Object.create({ view: input.view }), { ...input, view: undefined, viewer: 1 }),
    ],
    ["a class of its own", { ...input, class: "D" }],
    ["a class in lower case", { ...input, class: "c" }],
    ["an unknown plane", { ...input, plane: "astral" }],
    ["an unknown subject", { ...input, subject: "everyone" }],
    ["an unknown enforcement", { ...input, enforcement: "hope" }],
    ["an unknown principal", { ...input, principal: { ...input.principal, kind: "admin" } }],
    ["an unknown custody", { ...input, principal: { ...input.principal, custody: "lost" } }],
    ["an unknown role", { ...input, principal: { ...input.principal, roles: ["root"] } }],
    ["no strength", { ...input, agent: { ...input.agent, attested: { type: "none", selectors: [] } } }],
    [
      "an unknown strength",
      { ...input, agent: { ...input.agent, attested: { ...input.agent.attested, strength: "sure" } } },
    ],
    [
      "more selectors than a workload has",
      {
        ...input,
        agent: {
          ...input.agent,
          attested: { ...input.agent.attested, selectors: Array(129).fill("unix:uid:1") },
        },
      },
    ],
    ["a composition that is null", { ...input, agent: { ...input.agent, composition_sha256: null } }],
    ["more links than the chain has", { ...input, scope: { covered: true, links: 2 } }],
    ["fewer links than the chain has", { ...input, scope: { covered: true, links: 0 } }],
    ["coverage that is text", { ...input, scope: { covered: "true", links: 1 } }],
    ["freshness that is a number", { ...input, view: { fresh: 1, epoch: 7 } }],
    ["a negative epoch", { ...input, view: { fresh: true, epoch: -1 } }],
    ["a broken epoch", { ...input, view: { fresh: true, epoch: 1.5 } }],
    ["an epoch beyond exact integers", { ...input, view: { fresh: true, epoch: 2 ** 53 } }],
    ["an epoch that is not a number", { ...input, view: { fresh: true, epoch: Number.NaN } }],
    ["an action whose verb differs from its name", { ...input, action: { ...input.action, verb: "list" } }],
    ["an action whose path differs from its name", { ...input, action: { ...input.action, path: "" } }],
    ["a control character", { ...input, resource: "postgres://db\u0000" }],
    ["a line break", { ...input, resource: "postgres://db\r\nx" }],
    ["half a surrogate pair", { ...input, resource: "postgres://db\ud800" }],
    ["a link that is no text", { ...input, chain: [7] }],
    ["a hole in the chain", { ...input, chain: new Array(1) }],
    ["a chain that is text", { ...input, chain: "a" }],
    ["arguments that are a list", { ...input, arguments: [] }],
    ["arguments that hold no JSON", { ...input, arguments: { at: new Date(0) } }],
    ["arguments that hold a function", { ...input, arguments: { at: () => 1 } }],
    ["arguments with half a character", { ...input, arguments: { "\ud800": 1 } }],
    ["an infinite argument", { ...input, arguments: { n: Number.POSITIVE_INFINITY } }],
    ["labels out of order", { ...input, labels: ["untrusted", "private"] }],
    ["a label twice", { ...input, labels: ["private", "private"] }],
    ["a label that is prose", { ...input, labels: ["Private data"] }],
    [
      "17 labels",
      { ...input, labels: Array.from({ length: 17 }, (_, n) => `l${String(n).padStart(2, "0")}`) },
    ],
    ["an outside that is text", { ...input, outside: "no" }],
    ["a freeze that is null", { ...input, frozen: null }],
    ["an approval that is its id", { ...input, approved: "01890a5d-ac96-774b-bcce-b302099a8057" }],
    ["a list", [input]],
    ["nothing", undefined],
  ])("refuses %s", (_, value) => {
    expect(codeOf(value)).toBe("policy_input_malformed");
  });

  it("refuses an action that does not parse, by its own code", () => {
    expect(codeOf({ ...input, action: { name: "read:*", verb: "read", type: "*", path: "" } })).toBe(
      "action_malformed",
    );
  });

  it("takes a resource of 2,048 characters and refuses one of 2,049", () => {
    expect(codeOf({ ...input, resource: "x".repeat(2048) })).toBe("nothing was thrown");
    expect(codeOf({ ...input, resource: "x".repeat(2049) })).toBe("policy_input_malformed");
  });

  it("takes arguments to a depth of 12, with 4,096 values and 131,072 characters, and no more", () => {
    const nested = (depth: number): unknown => (depth === 0 ? {} : { a: nested(depth - 1) });
    const given = (value: unknown): string => codeOf({ ...input, arguments: value });
    expect(given(nested(12))).toBe("nothing was thrown");
    expect(given(nested(13))).toBe("policy_input_malformed");
    const list = (items: number): unknown => ({ a: Array(items).fill("") });
    expect(given(list(4094))).toBe("nothing was thrown");
    expect(given(list(4095))).toBe("policy_input_malformed");
    expect(given({ a: "x".repeat(131_071) })).toBe("nothing was thrown");
    expect(given({ a: "x".repeat(131_072) })).toBe("policy_input_malformed");
  });

  it("takes any other text as text, whatever language it is written in", () => {
    for (const resource of ['" } allow := true {', "data.policy.forbidden", "../../etc", "{{input}}", "é𝄞"]) {
      expect(parsePolicyInput({ ...input, resource }).resource).toBe(resource);
    }
  });

  it("never crashes on any value", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(codeOf(value)).toBe("policy_input_malformed");
      }),
    );
  });
});
