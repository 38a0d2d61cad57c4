import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BudgetUse, formatBuckets, NOTHING, parseBuckets, takeFrom } from "./budget.ts";

const NOW = 1_800_000_000;
const call = { calls: 1, tokens: 100, microUsd: 10 };
const unlimited = { calls: null, tokens: null, microUsd: null };

describe("the use of a budget", () => {
  it("counts for the whole window and not a bucket longer", () => {
    const hour = new BudgetUse("hour");
    hour.add(call, NOW);
    expect(hour.total(NOW + 3599)).toEqual(call);
    expect(hour.total(NOW + 3660)).toEqual(NOTHING);
    const day = new BudgetUse("day");
    day.add(call, NOW);
    expect(day.total(NOW + 84_600)).toEqual(call);
    expect(day.total(NOW + 86_400 + 1800)).toEqual(NOTHING);
  });

  it("counts for good in a lifetime", () => {
    const use = new BudgetUse("lifetime");
    use.add(call, NOW);
    expect(use.total(NOW + 1e9)).toEqual(call);
    expect(use.secondsToForget(NOW)).toBeNull();
  });

  it("says when the oldest use is forgotten", () => {
    const use = new BudgetUse("hour");
    use.add(call, NOW);
    const wait = use.secondsToForget(NOW + 100) ?? 0;
    expect(use.total(NOW + 100 + wait - 1)).toEqual(call);
    expect(use.total(NOW + 100 + wait)).toEqual(NOTHING);
  });

  it("survives being written and read, with what is open counted as used", () => {
    const use = new BudgetUse("day");
    use.add(call, NOW);
    const again = new BudgetUse("day", parseBuckets(formatBuckets(use.snapshot(call, NOW + 5000))));
    expect(again.total(NOW + 5000)).toEqual({ calls: 2, tokens: 200, microUsd: 20 });
    expect(use.total(NOW + 5000)).toEqual(call);
  });

  it("does not read what it did not write", () => {
    for (const text of ["{}", "[1]", "[[1,2,3]]", '[[1,2,3,"4"]]', "[[1,2,3,null]]"]) {
      expect(() => parseBuckets(text)).toThrow(expect.objectContaining({ code: "store_unavailable" }));
    }
  });
});

describe("taking from a budget", () => {
  const state = { used: NOTHING, open: NOTHING };

  it("takes what is asked while it fits, to the last unit", () => {
    const limits = { ...unlimited, tokens: 100 };
    expect(takeFrom({ limits, ...state }, call)).toEqual({ taken: call });
    const used = { ...NOTHING, tokens: 100 };
    expect(takeFrom({ limits, used, open: NOTHING }, call)).toEqual({ short: "tokens" });
    expect(takeFrom({ limits, used: NOTHING, open: used }, call)).toEqual({ short: "tokens" });
  });

  it("takes all that is left where a call may cost more, so that no second one is let in beside it", () => {
    const limits = { ...unlimited, microUsd: 25 };
    const used = { ...NOTHING, microUsd: 20 };
    const asked = { ...call, microUsd: Number.POSITIVE_INFINITY };
    expect(takeFrom({ limits, used, open: NOTHING }, asked)).toEqual({ taken: { ...call, microUsd: 5 } });
    const open = { ...NOTHING, microUsd: 5 };
    expect(takeFrom({ limits, used, open }, asked)).toEqual({ short: "microUsd" });
  });

  it("never overdraws calls, and lets a free call pass a budget of money that is used up", () => {
    const limits = { calls: 1, tokens: null, microUsd: 0 };
    const free = { calls: 1, tokens: 0, microUsd: 0 };
    expect(takeFrom({ limits, ...state }, free)).toEqual({ taken: free });
    expect(takeFrom({ limits, used: free, open: NOTHING }, free)).toEqual({ short: "calls" });
  });

  it("never has more open than is left, whatever is asked at once", () => {
    const amount = fc.record({ calls: fc.constant(1), tokens: fc.nat(500), microUsd: fc.nat(500) });
    fc.assert(
      fc.property(fc.array(amount, { maxLength: 60 }), (asked) => {
        const limits = { calls: 20, tokens: 2000, microUsd: 3000 };
        let open = NOTHING;
        for (const one of asked) {
          const result = takeFrom({ limits, used: NOTHING, open }, one);
          if (!("taken" in result)) continue;
          const { taken } = result;
          open = {
            calls: open.calls + taken.calls,
            tokens: open.tokens + taken.tokens,
            microUsd: open.microUsd + taken.microUsd,
          };
        }
        expect(open.calls).toBeLessThanOrEqual(20);
        expect(open.tokens).toBeLessThanOrEqual(2000);
        expect(open.microUsd).toBeLessThanOrEqual(3000);
      }),
    );
  });
});
