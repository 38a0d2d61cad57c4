/** What a parent may hand to a child. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseActionName } from "../action.ts";
import { isCovered, isSubset, parseScope } from "../scope.ts";
import {
  type Delegation,
  type Limits,
  requireDelegable,
  requireShortWildcard,
  shortenLifetime,
} from "./delegation.ts";

const NOW = 1_800_000_000;
const refusedAs = (code: string) => expect.objectContaining({ code });

const parent = {
  scope: parseScope(["read:tx", "write:reports"]),
  limits: { depth: 2, fanOut: 2, budget: 100 },
  expiresAt: NOW + 3600,
  line: [
    { instanceId: "inst-root", isRevoked: false, expiresAt: NOW + 7200 },
    { instanceId: "inst-parent", isRevoked: false, expiresAt: NOW + 3600 },
  ],
};
const child = {
  scope: parseScope(["read:tx"]),
  limits: { depth: 1, fanOut: 2, budget: 10 },
  expiresAt: NOW + 600,
};
const delegation: Delegation = { parent, child, siblings: { live: 0, budget: 0 }, now: NOW, mode: "strict" };
const childWith = (change: Partial<Delegation["child"]>, more: Partial<Delegation> = {}): Delegation => ({
  ...delegation,
  ...more,
  child: { ...child, ...change },
});
const limitsWith = (change: Partial<Limits>) => childWith({ limits: { ...child.limits, ...change } });

test("a child that is strictly less is delegable", () => {
  expect(() => requireDelegable(delegation)).not.toThrow();
});

describe("scope", () => {
  test("C1 a scope that reaches further is refused, naming an action that shows it", () => {
    const wider = childWith({ scope: parseScope(["read:tx", "delete:tx"]) });
    expect(() => requireDelegable(wider)).toThrow(
      expect.objectContaining({ code: "scope_not_subset", details: { counterexample: "delete:tx" } }),
    );
  });

  test("C2 the parent's own scope is refused in mode strict", () => {
    expect(() => requireDelegable(childWith({ scope: parent.scope }))).toThrow(refusedAs("scope_not_subset"));
  });

  test("C2 in mode narrowing an equal scope needs a smaller lifetime, depth or budget", () => {
    const same = {
      scope: parent.scope,
      expiresAt: parent.expiresAt,
      limits: { depth: 1, fanOut: 2, budget: 100 },
    };
    const narrowing = { mode: "narrowing" } as const;
    expect(() => requireDelegable(childWith(same, narrowing))).toThrow(refusedAs("scope_not_subset"));
    expect(() => requireDelegable(childWith({ ...same, expiresAt: NOW + 3599 }, narrowing))).not.toThrow();
    const shallower = { ...same, limits: { ...same.limits, depth: 0 } };
    expect(() => requireDelegable(childWith(shallower, narrowing))).not.toThrow();
    const cheaper = { ...same, limits: { ...same.limits, budget: 99 } };
    expect(() => requireDelegable(childWith(cheaper, narrowing))).not.toThrow();
    const wider = { ...same, scope: parseScope(["read:tx", "delete:tx"]), expiresAt: NOW + 1 };
    expect(() => requireDelegable(childWith(wider, narrowing))).toThrow(refusedAs("scope_not_subset"));
  });

  test("a refusal's counter-example is possible for the child and not for the parent", () => {
    const atom = fc.constantFrom(
      "read:a",
      "read:a:b",
      "read:*",
      "*:a",
      "write:b:*",
      "write:b:c/**",
      "pay:c",
      "read:b",
    );
    fc.assert(
      fc.property(fc.array(atom, { maxLength: 4 }), fc.array(atom, { maxLength: 4 }), (left, right) => {
        const pair = { parent: parseScope(left), child: parseScope(right) };
        const asked = childWith({ scope: pair.child }, { parent: { ...parent, scope: pair.parent } });
        try {
          requireDelegable(asked);
          expect(isSubset(pair)).toBe(true);
        } catch (error) {
          const { code, details } = Object(error);
          expect(code).toBe("scope_not_subset");
          expect(isSubset(pair)).toBe(details.counterexample === undefined);
          if (typeof details.counterexample !== "string") return;
          const action = parseActionName(details.counterexample);
          expect(isCovered(pair.child, action)).toBe(true);
          expect(isCovered(pair.parent, action)).toBe(false);
        }
      }),
    );
  });

  test("a wildcard verb or type lives at most an hour", () => {
    const wild = { scope: parseScope(["*:tx"]), expiresAt: NOW + 3600 };
    expect(() => requireShortWildcard(wild, NOW)).not.toThrow();
    expect(() => requireShortWildcard({ ...wild, expiresAt: NOW + 3601 }, NOW)).toThrow(
      refusedAs("scope_wildcard_too_long_lived"),
    );
    expect(() =>
      requireShortWildcard({ scope: parseScope(["read:tx:*"]), expiresAt: NOW + 3601 }, NOW),
    ).not.toThrow();
    const long = { ...parent, scope: parseScope(["*:tx", "read:x"]), expiresAt: NOW + 7200 };
    expect(() => requireDelegable(childWith({ ...wild, expiresAt: NOW + 3601 }, { parent: long }))).toThrow(
      refusedAs("scope_wildcard_too_long_lived"),
    );
  });
});

describe("line", () => {
  test.each([0, 1])("C11 a revoked ancestor refuses the child (%d)", (at) => {
    const line = parent.line.map((link, index) => ({ ...link, isRevoked: index === at }));
    expect(() => requireDelegable({ ...delegation, parent: { ...parent, line } })).toThrow(
      expect.objectContaining({ code: "ancestor_dead", details: { instanceId: line[at]?.instanceId } }),
    );
  });

  test.each([0, 1])("C11 an expired ancestor refuses the child (%d)", (at) => {
    const ending = (expiresAt: number) =>
      parent.line.map((link, index) => (index === at ? { ...link, expiresAt } : link));
    expect(() =>
      requireDelegable({ ...delegation, parent: { ...parent, line: ending(NOW + 1) } }),
    ).not.toThrow();
    expect(() => requireDelegable({ ...delegation, parent: { ...parent, line: ending(NOW) } })).toThrow(
      refusedAs("ancestor_dead"),
    );
  });

  test("no line is a dead line", () => {
    expect(() => requireDelegable({ ...delegation, parent: { ...parent, line: [] } })).toThrow(
      refusedAs("ancestor_dead"),
    );
  });
});

describe("limits", () => {
  test("a parent of depth 0 has no children", () => {
    const last = { ...parent, limits: { ...parent.limits, depth: 0 } };
    expect(() => requireDelegable({ ...delegation, parent: last })).toThrow(refusedAs("depth_exceeded"));
  });

  test("a child is at least one generation shallower", () => {
    expect(() => requireDelegable(limitsWith({ depth: 1 }))).not.toThrow();
    expect(() => requireDelegable(limitsWith({ depth: 2 }))).toThrow(refusedAs("limits_not_narrower"));
  });

  test("a child's fan-out is within the parent's", () => {
    expect(() => requireDelegable(limitsWith({ fanOut: 3 }))).toThrow(refusedAs("limits_not_narrower"));
  });

  test("a parent has as many live children as its fan-out says", () => {
    expect(() => requireDelegable({ ...delegation, siblings: { live: 1, budget: 0 } })).not.toThrow();
    expect(() => requireDelegable({ ...delegation, siblings: { live: 2, budget: 0 } })).toThrow(
      refusedAs("fan_out_exceeded"),
    );
  });

  test("budgets of live siblings and the child are within the parent's", () => {
    expect(() => requireDelegable({ ...delegation, siblings: { live: 1, budget: 90 } })).not.toThrow();
    expect(() => requireDelegable({ ...delegation, siblings: { live: 1, budget: 91 } })).toThrow(
      refusedAs("budget_exceeded"),
    );
  });

  test("only an unlimited parent has unlimited children", () => {
    expect(() => requireDelegable(limitsWith({ budget: null }))).toThrow(refusedAs("limits_not_narrower"));
    const rich = { ...parent, limits: { ...parent.limits, budget: null } };
    expect(() => requireDelegable({ ...limitsWith({ budget: null }), parent: rich })).not.toThrow();
    expect(() => requireDelegable({ ...limitsWith({ budget: 1_000_000 }), parent: rich })).not.toThrow();
  });
});

describe("lifetime", () => {
  test("B15 is cut to the second the parent ends, and says so", () => {
    const parentExpiresAt = NOW + 3600;
    expect(shortenLifetime({ ttlSeconds: 3600, now: NOW, parentExpiresAt })).toEqual({
      expiresAt: NOW + 3600,
      isShortened: false,
    });
    expect(shortenLifetime({ ttlSeconds: 3601, now: NOW, parentExpiresAt })).toEqual({
      expiresAt: NOW + 3600,
      isShortened: true,
    });
    expect(() => shortenLifetime({ ttlSeconds: 0, now: NOW, parentExpiresAt })).toThrow(
      refusedAs("ttl_malformed"),
    );
  });

  test("a child that would outlive its parent is refused", () => {
    expect(() => requireDelegable(childWith({ expiresAt: parent.expiresAt }))).not.toThrow();
    expect(() => requireDelegable(childWith({ expiresAt: parent.expiresAt + 1 }))).toThrow(
      refusedAs("ttl_exceeds_limit"),
    );
  });
});
