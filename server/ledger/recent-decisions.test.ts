/** The ring of the latest decisions: each once, in order, and no more than fit. */
import { describe, expect, it } from "vitest";
import { RecentDecisions } from "./recent-decisions.ts";
import type { DecisionFacts } from "./server-records.ts";

function facts(number: number): DecisionFacts {
  const found = {
    agent: { spiffeId: "spiffe://a.test/x/inst-1", agentId: "agt_1", ownerId: "own_1" },
    intent: { intent: { event_id: `e${number}`, action: "read:doc", resource: "r" } },
    decision: { effect: number % 2 === 0 ? "allow" : "deny", reasons: [] },
    nowMs: number,
  };
  // The cast: the ring reads these members and no other.
  return found as unknown as DecisionFacts;
}

describe("recent decisions", () => {
  it("are those since a number, oldest first", () => {
    const recent = new RecentDecisions();
    for (let number = 0; number < 5; number += 1) recent.note(facts(number));
    expect(recent.since(3).map(({ eventId }) => eventId)).toEqual(["e3", "e4"]);
    expect(recent.since(recent.total)).toEqual([]);
    expect(recent.since(0).map(({ isAllowed }) => isAllowed)).toEqual([true, false, true, false, true]);
  });

  it("are the latest ones when more came than are kept", () => {
    const recent = new RecentDecisions();
    for (let number = 0; number < 10_000; number += 1) recent.note(facts(number));
    const found = recent.since(0);
    expect(found).toHaveLength(8192);
    expect(found[0]?.eventId).toBe("e1808");
    expect(found.at(-1)?.eventId).toBe("e9999");
  });
});
