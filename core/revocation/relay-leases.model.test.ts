/**
 * The promise of revocation with relays between the server and its verifiers, as a model with the real views and accounts: clocks
 * that run apart, networks that delay and break, processes that sleep, die and come back, verifiers that move from one relay to
 * the other. Whatever happens, once a stop is complete at the server no view behind any relay allows what it stopped.
 *
 * Each rule of a relay that the model needs is taken out once, and the model finds it out (`model/relay.pml` says the same of
 * all interleavings of a smaller world).
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Flaw } from "./model-machines.test.support.ts";
import { anyPlan, MAX_COMPLETION_MS, type Shape, World } from "./model-world.test.support.ts";

const SHAPE: Shape = { relays: 2, verifiers: 4, maxDelayMs: 300 };

describe("the promise behind relays", () => {
  test("no view allows what a completed revocation stopped, and it is complete within a lease", () => {
    let allowedBefore = 0;
    let completed = 0;
    fc.assert(
      fc.property(anyPlan(SHAPE), (plan) => {
        const world = new World({ shape: SHAPE, plan });
        world.run();
        allowedBefore += world.allowedBefore;
        completed += world.revocations.length;
        expect(world.allowedAfterStop).toBe(0);
        for (const { isComplete, atMs, completeAtMs } of world.revocations) {
          expect(isComplete).toBe(true);
          expect(completeAtMs - atMs).toBeLessThanOrEqual(MAX_COMPLETION_MS);
        }
      }),
      { numRuns: 60 },
    );
    expect(allowedBefore).toBeGreaterThan(100);
    expect(completed).toBeGreaterThan(50);
  });

  test.each<Flaw>([
    "acknowledges at once",
    "gives a whole lease",
    "forgets the gap",
    "answers without a lease",
  ])("the model finds out a relay that %s", (flaw) => {
    const found = fc.check(
      fc.property(anyPlan(SHAPE), (plan) => {
        const world = new World({ shape: SHAPE, plan, flaw });
        world.run();
        return world.allowedAfterStop === 0;
      }),
      { numRuns: 3000, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  });
});
