/** The instants at which one host renews: common to its agents, never later than due, and other hosts have others. */
import { systemRuntime } from "trustwarden/peer.ts";
import { expect, it } from "vitest";
import { RenewalGrid } from "./renewal-grid.ts";

const HOUR_MS = 3_600_000;
const TEN_MINUTES_MS = 600_000;

function gridAt(nowMs: number, drawn: number): RenewalGrid {
  const random = (length: number) => new Uint8Array(length).fill(drawn);
  return new RenewalGrid({ ...systemRuntime, monotonicMs: () => nowMs, random });
}

it("brings renewals of an hour to instants half a minute apart, and none of them later", () => {
  const grid = gridAt(1_234_567, 0x5a);
  const delays = Array.from({ length: 500 }, (_, at) => HOUR_MS / 2 - at * 361);
  const aligned = delays.map((delayMs) => grid.align(delayMs, HOUR_MS));
  aligned.forEach((alignedMs, at) => {
    const earlierMs = (delays[at] ?? 0) - alignedMs;
    expect(earlierMs).toBeGreaterThanOrEqual(0);
    expect(earlierMs).toBeLessThan(30_000);
  });
  expect(new Set(aligned.map(Math.round)).size).toBeLessThanOrEqual(8);
});

it("brings those of ten minutes forward by less than five seconds, and leaves alone what is due before the next instant", () => {
  const grid = gridAt(0, 0x80);
  expect(270_000 - grid.align(270_000, TEN_MINUTES_MS)).toBeLessThan(5_000);
  expect(grid.align(10, TEN_MINUTES_MS)).toBe(10);
});

it("differs from host to host", () => {
  expect(gridAt(0, 0x10).align(HOUR_MS / 2, HOUR_MS)).not.toBe(gridAt(0, 0x90).align(HOUR_MS / 2, HOUR_MS));
});
