/** Outcomes that cannot be reported are kept, and when there is no room nothing new is done. */
import { MAX_OUTCOMES } from "@trustwarden/core/api/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { describe, expect, it, vi } from "vitest";
import { OutcomeSpool } from "./outcome-spool.ts";
import { createTestRuntime } from "./support.test.helpers.ts";

const PLACES = 1024;
const REFUSED = new TrustWardenError("outcome_refused", { status: 403, from: "server" });

function createSpool() {
  const runtime = createTestRuntime();
  const sent: string[] = [];
  const state: { failure: TrustWardenError | undefined } = { failure: undefined };
  /** How many each request that was not refused held. */
  const requests: number[] = [];
  const send = async (outcomes: readonly string[]) => {
    if (state.failure) throw state.failure;
    if (outcomes.includes("bad")) throw REFUSED;
    requests.push(outcomes.length);
    sent.push(...outcomes);
  };
  return { spool: new OutcomeSpool({ send, runtime }), runtime, sent, requests, state };
}

describe("the spool of outcomes", () => {
  it("sends at once when it can", async () => {
    const { spool, sent, runtime } = createSpool();
    await spool.report("one");
    expect(sent).toEqual(["one"]);
    expect(runtime.notices).toEqual([]);
  });

  it("sends what nobody waits for within a moment, and together what comes meanwhile", async () => {
    const { spool, sent, requests } = createSpool();
    const first = spool.reportSoon("first");
    await expect.poll(() => requests).toEqual([1]);
    const outcomes = Array.from({ length: MAX_OUTCOMES + 4 }, (_, index) => `outcome ${index}`);
    await Promise.all([first, ...outcomes.map((outcome) => spool.reportSoon(outcome))]);
    expect(sent).toEqual(["first", ...outcomes]);
    // No more than one request takes.
    expect(requests).toEqual([1, MAX_OUTCOMES, 4]);
  });

  it("sends each by itself when they are refused together, so that one bad outcome spoils no other", async () => {
    const { spool, sent, runtime } = createSpool();
    await Promise.all(["one", "bad", "two"].map((outcome) => spool.reportSoon(outcome)));
    expect(sent).toEqual(["one", "two"]);
    expect(spool.waiting).toBe(0);
    expect(runtime.notices).toMatchObject([{ code: "outcome_refused", details: { final: true } }]);
  });

  it("sends what is gathered when it closes", async () => {
    const { spool, sent } = createSpool();
    const reports = [spool.reportSoon("one"), spool.reportSoon("two")];
    await spool.close();
    expect(sent).toEqual(["one", "two"]);
    await Promise.all(reports);
  });

  it("keeps what cannot be sent, says so, and sends it in order when it can", async () => {
    const { spool, sent, state, runtime } = createSpool();
    state.failure = new TrustWardenError("server_unreachable");
    await spool.report("one");
    await spool.report("two");
    expect(spool.waiting).toBe(2);
    expect(runtime.notices.map(({ code }) => code)).toContain("server_unreachable");
    state.failure = undefined;
    await spool.close();
    expect(sent).toEqual(["one", "two"]);
    expect(spool.waiting).toBe(0);
  });

  it("tries again by itself", async () => {
    const { spool, sent, state } = createSpool();
    state.failure = new TrustWardenError("server_unreachable");
    await spool.report("one");
    state.failure = undefined;
    await expect.poll(() => sent, { timeout: 5000 }).toEqual(["one"]);
  });

  it("sends what waits together, and one by one when one of it is refused", async () => {
    const { spool, sent, requests, state, runtime } = createSpool();
    state.failure = new TrustWardenError("server_unreachable");
    const outcomes = Array.from({ length: MAX_OUTCOMES + 2 }, (_, index) => `outcome ${index}`);
    for (const outcome of [...outcomes, "bad", "last"]) await spool.report(outcome);
    state.failure = undefined;
    await spool.close();
    expect(sent).toEqual([...outcomes, "last"]);
    expect(requests).toEqual([MAX_OUTCOMES, 1, 1, 1]);
    expect(runtime.notices.at(-1)).toMatchObject({ code: "outcome_refused", details: { final: true } });
  });

  it("keeps together what a busy server turned away together", async () => {
    const { spool, sent, requests, state, runtime } = createSpool();
    const outcomes = Array.from({ length: 30 }, (_, index) => `outcome ${index}`);
    const details = { status: 429, from: "server", retryAfterSeconds: 1 };
    state.failure = new TrustWardenError("overloaded", details);
    await Promise.all(outcomes.map((outcome) => spool.reportSoon(outcome)));
    expect([spool.waiting, runtime.notices.length]).toEqual([30, 1]);
    state.failure = undefined;
    await spool.close();
    expect([sent, requests]).toEqual([outcomes, [30]]);
  });

  it("comes back no sooner than the server asked for", async () => {
    vi.useFakeTimers();
    try {
      const { spool, sent, state } = createSpool();
      const details = { status: 429, from: "server", retryAfterSeconds: 9 };
      state.failure = new TrustWardenError("overloaded", details);
      await spool.report("one");
      state.failure = undefined;
      await vi.advanceTimersByTimeAsync(8999);
      expect(sent).toEqual([]);
      await vi.advanceTimersByTimeAsync(9001);
      expect(sent).toEqual(["one"]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("does not repeat what the server refused for good, and says so", async () => {
    const { spool, state, runtime } = createSpool();
    state.failure = new TrustWardenError("outcome_refused", { status: 403, from: "server" });
    await spool.report("one");
    expect(spool.waiting).toBe(0);
    expect(runtime.notices.at(-1)?.details.final).toBe(true);
  });

  it("repeats what an overloaded server refused for now", async () => {
    const { spool, state } = createSpool();
    state.failure = new TrustWardenError("ledger_unavailable", { status: 503, from: "server" });
    await spool.report("one");
    expect(spool.waiting).toBe(1);
  });

  it("lets nobody in for whom there is no place (I10), and counts visits under way", async () => {
    const { spool, state } = createSpool();
    state.failure = new TrustWardenError("server_unreachable");
    for (let count = 0; count < PLACES - 1; count += 1) await spool.report(`outcome ${count}`);
    const release = spool.reserve();
    expect(() => spool.reserve()).toThrow(expect.objectContaining({ code: "ledger_unavailable" }));
    release();
    release();
    spool.reserve();
    expect(() => spool.reserve()).toThrow(expect.objectContaining({ code: "ledger_unavailable" }));
  });

  it("says how many are lost when it closes without having sent them", async () => {
    const { spool, state, runtime } = createSpool();
    state.failure = new TrustWardenError("server_unreachable");
    await spool.report("one");
    await spool.close();
    expect(runtime.notices.at(-1)).toMatchObject({ code: "ledger_unavailable", details: { lost: 1 } });
  });
});
