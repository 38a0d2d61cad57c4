/**
 * The promise of revocation as a model: one server, several verifiers, clocks that run apart, a network that delays,
 * breaks and comes back, processes that die. Whatever happens, once a revocation is complete no view allows it again.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LEASE_MS } from "./frames.ts";
import { anyPlan, MAX_COMPLETION_MS, type Shape, World } from "./model-world.test.support.ts";

const SHAPE: Shape = { relays: 0, verifiers: 3, maxDelayMs: 400 };

describe("the promise", () => {
  test("no view allows what a completed revocation stopped", () => {
    let allowedBefore = 0;
    let completed = 0;
    fc.assert(
      fc.property(anyPlan(SHAPE), (plan) => {
        const world = new World({ shape: SHAPE, plan });
        world.run();
        allowedBefore += world.allowedBefore;
        completed += world.revocations.filter(({ isComplete }) => isComplete).length;
        expect(world.allowedAfterStop).toBe(0);
        for (const { isComplete, atMs, completeAtMs } of world.revocations) {
          expect(isComplete).toBe(true);
          expect(completeAtMs - atMs).toBeLessThanOrEqual(MAX_COMPLETION_MS);
        }
      }),
      { numRuns: 200 },
    );
    // The model is not vacuous: views allow until they are stopped, and revocations complete.
    expect(allowedBefore).toBeGreaterThan(100);
    expect(completed).toBeGreaterThan(100);
  });

  test("the model finds out a server that waits a tenth less than a lease", () => {
    const found = fc.check(
      fc.property(anyPlan(SHAPE), (plan) => {
        const world = new World({ shape: SHAPE, plan, serverLeaseMs: LEASE_MS * 0.9 });
        world.run();
        return world.allowedAfterStop === 0;
      }),
      { numRuns: 2000, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  });
});
