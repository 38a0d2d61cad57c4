/** Whoever watches one of several servers sees what all of them decided, and nothing but decisions. */
import {
  issueTestDecision,
  issueTestIntent,
  issueTestOwner,
} from "@trustwarden/core/agentledger/record.test.support.ts";
import { expect, test } from "vitest";
import { FollowedDecisions } from "./followed-decisions.ts";

test("a decision is shown with what its intent says, and counted on from where somebody looked last", () => {
  const decided = new FollowedDecisions();
  const intent = issueTestIntent();
  decided.see(issueTestOwner());
  decided.see(intent);
  decided.see(issueTestDecision(intent));
  expect(decided.total).toBe(1);
  const [shown] = decided.since(0);
  expect(shown).toMatchObject({ isAllowed: true, ownerId: expect.stringMatching(/^own_/) });
  expect(shown?.agent).toContain("spiffe://acme.test/");
  expect(decided.since(1)).toEqual([]);
});

test("a decision whose intent is elsewhere is nobody's", () => {
  const decided = new FollowedDecisions();
  decided.see(issueTestOwner());
  decided.see(issueTestDecision(issueTestIntent()));
  expect(decided.since(0)).toEqual([]);
});
