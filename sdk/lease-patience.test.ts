/** How long a lease waits, with the time given. */
import { expect, test } from "vitest";
import { LeasePatience } from "./lease-patience.ts";

/** Beats as the lease does, until another place would be asked. */
function silentUntil(
  patience: LeasePatience,
  fromMs: number,
): { readonly askedAtMs: number; readonly beats: number } {
  let beats = 0;
  for (let nowMs = fromMs; ; nowMs += patience.nextBeatMs(nowMs)) {
    if (patience.isOver(nowMs)) return { askedAtMs: nowMs - fromMs, beats };
    patience.beat();
    beats += 1;
  }
}

test.each([
  [0, 1_400],
  [1, 2_800],
])(
  "a silent connection is kept, and another place asked after a while of its own (jitter %i)",
  (jitter, ms) => {
    const patience = new LeasePatience({ jitter: () => jitter });
    patience.begin(0);
    const { askedAtMs } = silentUntil(patience, 0);
    expect(askedAtMs).toBeGreaterThanOrEqual(ms);
    expect(askedAtMs).toBeLessThan(ms * 1.25);
  },
);

test("a process that was suspended sends its beats before it asks anybody else", () => {
  const patience = new LeasePatience({ jitter: () => 0 });
  patience.begin(0);
  patience.beat();
  expect(patience.isOver(60_000)).toBe(false);
  patience.beat();
  patience.beat();
  expect(patience.isOver(60_000)).toBe(true);
});

test("beats become rarer while nobody answers them, and are as before with the first answer", () => {
  const patience = new LeasePatience({ jitter: () => 0 });
  patience.begin(0);
  expect([0, 699, 700, 1_600, 16_000, 60_000].map((nowMs) => patience.nextBeatMs(nowMs))).toEqual([
    200, 200, 200, 400, 4_000, 4_000,
  ]);
  expect(patience.hear(60_000)).toBe(true);
  expect(patience.nextBeatMs(60_000)).toBe(200);
  expect(patience.hear(60_200)).toBe(false);
});

test("whatever was in vain makes all of it longer, up to eight times, and ten calm seconds make it short again", () => {
  const patience = new LeasePatience({ jitter: () => 1 });
  const waits = Array.from({ length: 7 }, () => patience.fail(0));
  expect(waits).toEqual([100, 200, 400, 800, 1_600, 2_000, 2_000]);
  expect(patience.upgradeMs).toBe(40_000);
  patience.begin(0);
  for (let nowMs = 200; nowMs < 10_000; nowMs += 200) patience.hear(nowMs);
  expect(patience.upgradeMs).toBe(40_000);
  patience.hear(10_000);
  expect(patience.upgradeMs).toBe(5_000);
  expect(patience.fail(10_000)).toBe(100);
});

test("what a server asks for is waited, and by each a little longer; by nobody more than two minutes", () => {
  const waits = (afterMs: number) =>
    [0, 0.5, 1].map((jitter) => new LeasePatience({ jitter: () => jitter }).fail(0, afterMs));
  expect(waits(3_000)).toEqual([3_000, 4_500, 6_000]);
  expect(waits(86_400_000)).toEqual([60_000, 90_000, 120_000]);
});
