import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { REASONS, TARGETS } from "./labels.ts";

const POLICY = new URL("../../policies/trustwarden/decision.rego", import.meta.url);
const STOPS = new URL("../approvals/decide-action.ts", import.meta.url);

test("every reason of the built-in policy and of stops is a label of its own, and no other one is twice", () => {
  const ofPolicy = [...readFileSync(POLICY, "utf8").matchAll(/^reasons contains "([a-z_]+)"/gm)];
  const ofStops = [...readFileSync(STOPS, "utf8").matchAll(/\["([a-z]+_stopped)"\]/g)];
  expect(ofPolicy.length).toBeGreaterThan(5);
  expect(ofStops.length).toBe(2);
  for (const [, reason] of [...ofPolicy, ...ofStops]) expect(REASONS).toContain(reason);
  expect(new Set(REASONS).size).toBe(REASONS.length);
});

test("what the feed pushes is a label, and what it does not is none", () => {
  expect(TARGETS).toContain("policy");
  expect(TARGETS).not.toContain("everything");
});
