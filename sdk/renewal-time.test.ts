/** When an SVID is due, for the lives that SVIDs have. */
import { expect, it } from "vitest";
import { renewalAgeMs, renewalDelayMs } from "./renewal-time.ts";
import { systemRuntime } from "./runtime.ts";

const MINUTE_MS = 60_000;

it("is half of an hour, and leaves an SVID of ten minutes more than five", () => {
  expect(renewalAgeMs(60 * MINUTE_MS)).toBe(30 * MINUTE_MS);
  expect(renewalAgeMs(10 * MINUTE_MS)).toBe(4.5 * MINUTE_MS);
  expect(renewalAgeMs(11 * MINUTE_MS)).toBe(5.5 * MINUTE_MS);
});

it("is never sooner than a third of a short life, less a tenth", () => {
  expect(renewalAgeMs(6 * MINUTE_MS)).toBe(2 * MINUTE_MS);
  for (let times = 0; times < 100; times += 1) {
    const delayMs = renewalDelayMs(6 * MINUTE_MS, systemRuntime);
    expect(delayMs).toBeGreaterThanOrEqual(1.8 * MINUTE_MS);
    expect(delayMs).toBeLessThanOrEqual(2 * MINUTE_MS);
  }
});
