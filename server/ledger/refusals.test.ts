/** Refusals are evidence, and a flood of them is a count. */
import { describe, expect, it } from "vitest";
import { type Refusal, Refusals } from "./refusals.ts";

function createCase() {
  const written: Refusal[] = [];
  const state = { nowMs: 0 };
  const refusals = new Refusals({
    write: async (refusal) => void written.push(refusal),
    monoMs: () => state.nowMs,
    onError: (error) => {
      throw error;
    },
  });
  const refuse = (peer: string, times: number) =>
    Promise.all(
      Array.from({ length: times }, () =>
        refusals.record({ principal: "unauthenticated", peer, code: "no_svid", details: {} }),
      ),
    );
  return { written, state, refusals, refuse };
}

describe("refusals", () => {
  it("are all recorded while a peer stays below its allowance", async () => {
    const { written, refuse } = createCase();
    await refuse("10.0.0.1", 60);
    expect(written).toHaveLength(60);
  });

  it("beyond the allowance are counted, and the count is recorded", async () => {
    const { written, refuse, refusals } = createCase();
    await refuse("10.0.0.1", 100_000);
    expect(written).toHaveLength(60);
    await refusals.close();
    expect(written.at(-1)).toEqual({
      principal: "unauthenticated",
      peer: "many",
      code: "rate_limited",
      details: { dropped: 99_940 },
    });
  });

  it("of one flooding peer do not use up another's allowance", async () => {
    const { written, refuse } = createCase();
    await refuse("10.0.0.1", 1000);
    await refuse("10.0.0.2", 5);
    expect(written.filter(({ peer }) => peer === "10.0.0.2")).toHaveLength(5);
  });

  it("of all peers together stay below a total", async () => {
    const { written, refuse } = createCase();
    for (let peer = 0; peer < 1000; peer += 1) await refuse(`10.0.0.${peer}`, 1);
    expect(written).toHaveLength(300);
  });

  it("get five more a second", async () => {
    const { written, state, refuse } = createCase();
    await refuse("10.0.0.1", 100);
    state.nowMs += 2000;
    await refuse("10.0.0.1", 100);
    expect(written).toHaveLength(70);
  });

  it("of proven callers that ask for too much are only counted, each under its name, and not without end", async () => {
    const { written, refusals } = createCase();
    const turnAway = (principal: string) =>
      refusals.count({ principal, peer: "10.0.0.1", code: "rate_limited" });
    for (let time = 0; time < 1000; time += 1) turnAway("first");
    for (let other = 0; other < 40; other += 1) turnAway(`other ${other}`);
    turnAway("first");
    expect(written).toEqual([]);
    await refusals.close();
    expect(written).toHaveLength(25);
    const firsts = { principal: "first", peer: "10.0.0.1", code: "rate_limited", details: { dropped: 1001 } };
    expect(written[0]).toEqual(firsts);
    expect(written.at(-1)).toMatchObject({
      principal: "unauthenticated",
      peer: "many",
      details: { dropped: 17 },
    });
  });

  it("of a proven caller may be recorded up to its own allowance, and are counted under its name beyond it", async () => {
    const { written, refusals } = createCase();
    const refused = { principal: "owner:own_1", peer: "10.0.0.1", code: "denied" };
    const may = Array.from({ length: 100 }, () => refusals.mayRecord(refused));
    expect(may.filter(Boolean)).toHaveLength(60);
    expect(refusals.mayRecord({ ...refused, principal: "owner:own_2" })).toBe(true);
    await refusals.close();
    expect(written).toEqual([{ ...refused, details: { dropped: 40 } }]);
  });
});
