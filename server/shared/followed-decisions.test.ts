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

test("a watcher finds the newest, as many as have room, however long agents made them", () => {
  const decided = new FollowedDecisions();
  const seeOften = (intent: Uint8Array, times: number): void => {
    const decision = issueTestDecision(intent);
    for (let count = 0; count < times; count += 1) {
      decided.see(intent);
      decided.see(decision);
    }
  };
  seeOften(issueTestIntent({ resource: `file:///${"x".repeat(2000)}` }), 8192);
  expect(decided.keptBytes).toBeGreaterThan(15 * 1024 * 1024);
  expect(decided.keptBytes).toBeLessThanOrEqual(16 * 1024 * 1024);
  expect(decided.total).toBe(8192);
  expect(decided.since(0).length).toBeLessThan(8000);
  expect(decided.since(8190)).toHaveLength(2);
  seeOften(issueTestIntent(), 9000);
  expect(decided.since(0)).toHaveLength(8192);
  expect(decided.since(decided.total - 2)).toHaveLength(2);
});

test("what is kept holds nothing of what it was read with, whichever kind of bytes that was", () => {
  const decided = new FollowedDecisions();
  const intent = Buffer.from(issueTestIntent());
  const decision = Buffer.from(issueTestDecision(intent));
  decided.see(intent);
  decided.see(decision);
  for (const bytes of [intent, decision]) bytes.fill(0);
  expect(decided.since(0)).toHaveLength(1);
});

test("a decision whose intent is elsewhere is nobody's", () => {
  const decided = new FollowedDecisions();
  decided.see(issueTestOwner());
  decided.see(issueTestDecision(issueTestIntent()));
  expect(decided.since(0)).toEqual([]);
});
