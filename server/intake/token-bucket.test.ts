/** How much one may ask for, and when again. */
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { RateLimits } from "./rate-limits.ts";
import { TokenBuckets } from "./token-bucket.ts";

describe("a token bucket", () => {
  it("gives a burst, then so many a second, and never more than the burst", () => {
    const buckets = new TokenBuckets({ burst: 3, perSecond: 2 }, 8);
    const taken = (nowMs: number) => [1, 2, 3, 4, 5].filter(() => buckets.take("a", nowMs)).length;
    expect([taken(0), taken(499), taken(500), taken(1500), taken(60_000)]).toEqual([3, 0, 1, 2, 3]);
  });

  it("says how long to wait", () => {
    const buckets = new TokenBuckets({ burst: 1, perSecond: 0.5 }, 8);
    expect(buckets.secondsUntilToken("a", 0)).toBe(0);
    buckets.take("a", 0);
    expect(buckets.secondsUntilToken("a", 500)).toBe(1.5);
  });

  it("remembers no more names than it may", () => {
    const buckets = new TokenBuckets({ burst: 1, perSecond: 1 }, 2);
    for (const name of ["a", "b", "c"]) expect(buckets.take(name, 0)).toBe(true);
    expect(buckets.take("c", 0)).toBe(false);
    // The longest known made room, and begins anew.
    expect(buckets.take("a", 0)).toBe(true);
  });
});

describe("rate limits", () => {
  const limits = (agent: number, owner: number) =>
    new RateLimits({
      agent: { burst: agent, perSecond: 0.25 },
      owner: { burst: owner, perSecond: 1 },
      monoMs: () => 0,
    });
  const first = { agentId: "agt_1", ownerId: "own_1", spiffeId: "spiffe://acme.test/a/inst-1" };
  const second = { ...first, agentId: "agt_2" };

  it("stop an agent at its own, while the owner's others go on", () => {
    const own = limits(2, 5);
    own.take(first);
    own.take(first);
    for (let refused = 0; refused < 10; refused += 1) expectCode(() => own.take(first), "rate_limited");
    own.take(second);
    own.take(second);
  });

  it("stop all agents of an owner together, and nobody else's", () => {
    const own = limits(2, 3);
    own.take(first);
    own.take(first);
    own.take(second);
    expectCode(() => own.take(second), "rate_limited");
    own.take({ ...first, agentId: "agt_3", ownerId: "own_2" });
  });

  it("say in whole seconds when to come again", () => {
    const own = limits(1, 5);
    own.take(first);
    expect(() => own.take(first)).toThrow(
      expect.objectContaining({ details: { of: "agent", principal: first.spiffeId, retryAfterSeconds: 4 } }),
    );
  });

  it("does not forget who asks on, however many others come", () => {
    const buckets = new TokenBuckets({ burst: 2, perSecond: 0.001 }, 3);
    const allowed = Array.from({ length: 40 }, (_, turn) => {
      buckets.take(`other-${turn}`, 0);
      return buckets.take("flood", 0);
    });
    expect(allowed.filter(Boolean)).toHaveLength(2);
  });
});
