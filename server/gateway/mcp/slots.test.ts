/** Slots of the machine: whoever has none gets one, however greedy the others are. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../../test/support/expect-code.ts";
import { Slots } from "./slots.ts";

/** Takes as many as it gets. */
function takeAll(slots: Slots, ownerId: string): number {
  for (let count = 0; ; count += 1) {
    try {
      slots.take({ ownerId, instanceId: `${ownerId}-${count}` });
    } catch (error) {
      if (error instanceof TrustWardenError && error.code === "mcp_slots_exhausted") return count;
      throw error;
    }
  }
}

describe("slots", () => {
  it("are as many for one instance as its limit, and one more is refused", () => {
    const slots = new Slots({ total: 100, perInstance: 3 });
    const holder = { ownerId: "own_1", instanceId: "inst-1" };
    const [giveBack] = [slots.take(holder), slots.take(holder), slots.take(holder)];
    expectCode(() => slots.take(holder), "mcp_slots_exhausted");
    giveBack?.();
    giveBack?.();
    slots.take(holder);
    expectCode(() => slots.take(holder), "mcp_slots_exhausted");
    expect(slots.taken).toBe(3);
  });

  it("are half of all for an owner alone, and one more is refused", () => {
    const slots = new Slots({ total: 256, perInstance: 16 });
    expect(takeAll(slots, "own_1")).toBe(128);
    expect(takeAll(slots, "own_2")).toBe(64);
    expect(slots.taken).toBe(192);
  });

  it("are there for an owner who has none, after any story of fewer greedy ones than slots", () => {
    const step = fc.record({ owner: fc.nat(6), instance: fc.nat(40), gives: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), fc.integer({ min: 130, max: 256 }), (steps, total) => {
        const slots = new Slots({ total, perInstance: 1000 });
        const held: (() => void)[] = [];
        for (const { owner, instance, gives } of steps) {
          if (gives) held.shift()?.();
          try {
            held.push(slots.take({ ownerId: `own_${owner}`, instanceId: `inst-${owner}-${instance}` }));
          } catch (error) {
            if (!(error instanceof TrustWardenError)) throw error;
          }
        }
        for (let greedy = 0; greedy < 6; greedy += 1) takeAll(slots, `own_${greedy}`);
        expect(slots.taken).toBeLessThan(total);
        slots.take({ ownerId: "own_new", instanceId: "inst-new" });
        for (const giveBack of held) giveBack();
      }),
      { numRuns: 100 },
    );
  });
});
