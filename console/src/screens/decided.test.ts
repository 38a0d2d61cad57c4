/** The picture of an action's custody says of policy only what a decision says. */
import { expect, it } from "vitest";
import { decisionStepOf } from "./decided.ts";

const POLICY = "policy:trustwarden@abc";

it.each([
  ["allowed", { outcome: "success", authorized_by: POLICY }],
  ["allowed", { outcome: "failure", authorized_by: POLICY }],
  ["allowed", { outcome: "pending", authorized_by: POLICY }],
  ["denied", { outcome: "denied", authorized_by: POLICY }],
  ["undecided", { outcome: "pending", authorized_by: "nobody" }],
] as const)("an action is %s: %o", (name, event) => {
  expect(decisionStepOf({ kind: "action", ...event })?.name).toBe(name);
});

it.each(["issue", "renew", "revoke", "transfer"])("no policy decided an event of kind %s", (kind) => {
  const event = { kind, outcome: "success", authorized_by: "owner:own_1" } as const;
  expect(decisionStepOf(event)).toBeNull();
});
