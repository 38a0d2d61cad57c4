/** The floor under the clock: what was signed is past. */
import { describe, expect, it } from "vitest";
import { expectCode } from "../test/support/expect-code.ts";
import { FlooredClock } from "./clock.ts";

function createCase(nowMs: number) {
  const state = { nowMs };
  const clock = new FlooredClock({ nowMs: () => state.nowMs, monoMs: () => 0 });
  return { state, clock };
}

describe("the floored clock", () => {
  it("is believed while nothing was signed", () => {
    expect(createCase(0).clock.trustedMs()).toBe(0);
  });

  it("may step back half a minute, as a time service does", () => {
    const { state, clock } = createCase(1_000_000);
    clock.raise(1_000_000);
    state.nowMs = 970_000;
    expect(clock.trustedMs()).toBe(970_000);
    expect(clock.trustedSeconds()).toBe(970);
  });

  it("decides nothing that expires when it is further behind what was signed", () => {
    const { state, clock } = createCase(1_000_000);
    clock.raise(1_000_000);
    state.nowMs = 969_999;
    expectCode(() => clock.trustedMs(), "clock_rolled_back");
    expectCode(() => clock.trustedSeconds(), "clock_rolled_back");
  });

  it("still tells the time to records and to stops", () => {
    const { state, clock } = createCase(1_000_000);
    clock.raise(1_000_000);
    state.nowMs = 1;
    expect(clock.nowMs()).toBe(1);
  });

  it("has a floor that only rises", () => {
    const { state, clock } = createCase(1_000_000);
    clock.raise(1_000_000);
    clock.raise(5);
    state.nowMs = 900_000;
    expectCode(() => clock.trustedMs(), "clock_rolled_back");
  });
});
