/** What is asked again, and when. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { exchangeAgain } from "./exchange-again.ts";
import { parseRefusal, parseRetryAfter, type RawAnswer, retryAfterOf } from "./server-answer.ts";
import { createTestRuntime } from "./support.test.helpers.ts";

const GOOD: RawAnswer = { status: 200, body: new Uint8Array() };
const LATER: RawAnswer = { status: 429, body: new Uint8Array(), retryAfterSeconds: 7 };

/** Gives one answer after the other, and notes when each was asked for. */
function exchangeOf(answers: readonly (RawAnswer | Error)[]) {
  const askedAtMs: number[] = [];
  const exchange = async (): Promise<RawAnswer> => {
    const next = answers[askedAtMs.push(Date.now()) - 1];
    if (next === undefined || next instanceof Error) throw next ?? new Error("asked too often");
    return next;
  };
  return { exchange, askedAtMs };
}

describe("an exchange that changes nothing", () => {
  const runtime = createTestRuntime();
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("is made again when the server asks for it, not before, and not when everybody else comes", async () => {
    const { exchange, askedAtMs } = exchangeOf([LATER, GOOD]);
    const answer = exchangeAgain(exchange, { attempts: 3, runtime });
    await vi.runAllTimersAsync();
    expect(await answer).toBe(GOOD);
    const [first = 0, second = 0] = askedAtMs;
    expect(second - first).toBeGreaterThanOrEqual(7000);
    expect(second - first).toBeLessThanOrEqual(14_000);
  });

  it("gives the last refusal back when it is turned away again and again", async () => {
    const { exchange, askedAtMs } = exchangeOf([LATER, LATER, LATER]);
    const answer = exchangeAgain(exchange, { attempts: 3, runtime });
    await vi.runAllTimersAsync();
    expect([await answer, askedAtMs.length]).toEqual([LATER, 3]);
  });

  it.each([undefined, 11])("is not made again when the server says come in %s seconds", async (seconds) => {
    const refusal = { status: 429, body: new Uint8Array(), retryAfterSeconds: seconds };
    const { exchange, askedAtMs } = exchangeOf([refusal, GOOD]);
    expect(await exchangeAgain(exchange, { attempts: 3, runtime })).toBe(refusal);
    expect(askedAtMs).toHaveLength(1);
  });

  it("is made again when it broke off", async () => {
    const { exchange } = exchangeOf([new TrustWardenError("server_unreachable"), GOOD]);
    const answer = exchangeAgain(exchange, { attempts: 3, runtime });
    await vi.runAllTimersAsync();
    expect(await answer).toBe(GOOD);
  });

  it("that acts is made once, whatever comes", async () => {
    const turnedAway = exchangeOf([LATER, GOOD]);
    expect(await exchangeAgain(turnedAway.exchange, { attempts: 1, runtime })).toBe(LATER);
    const broken = exchangeOf([new TrustWardenError("server_unreachable"), GOOD]);
    await expect(exchangeAgain(broken.exchange, { attempts: 1, runtime })).rejects.toMatchObject({
      code: "server_unreachable",
    });
  });
});

describe("Retry-After", () => {
  it("is a number of seconds, a minute at most, and nothing else", () => {
    const values = [
      "0",
      "1",
      "60",
      "61",
      "999999",
      "1e3",
      "-1",
      " 1",
      "Sun, 22 Nov 2026 17:00:00 GMT",
      undefined,
    ];
    const none = undefined;
    expect(values.map(parseRetryAfter)).toEqual([0, 1, 60, 60, 60, none, none, none, none, none]);
  });

  it("is believed of a request that was turned away, and of no other refusal", () => {
    const body = new TextEncoder().encode(
      JSON.stringify({ error: { code: "overloaded", message: "later" } }),
    );
    const refusalOf = (status: number) => parseRefusal({ status, body, retryAfterSeconds: 3 });
    expect([retryAfterOf(refusalOf(429)), retryAfterOf(refusalOf(503))]).toEqual([3, undefined]);
    expect(retryAfterOf(new Error("429"))).toBeUndefined();
  });
});
