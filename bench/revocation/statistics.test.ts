/** Percentiles and bars of the revocation run. */
import { describe, expect, it } from "vitest";
import { createHistogram, formatHistogram, share, summarise } from "./statistics.ts";

const HUNDRED = Array.from({ length: 100 }, (_, index) => 100 - index);

describe("a summary", () => {
  it("takes the nearest rank, whatever the order", () => {
    expect(summarise(HUNDRED)).toEqual({ count: 100, p50: 50, p99: 99, max: 100 });
  });

  it("refuses to speak of nothing", () => {
    expect(() => summarise([])).toThrow("nothing was measured");
  });
});

describe("a share", () => {
  it("loses nothing of the whole", () => {
    expect([0, 1, 2].map((index) => share(8, 3, index))).toEqual([3, 3, 2]);
  });
});

describe("a histogram", () => {
  it("counts every value once, the largest included", () => {
    const bars = createHistogram([0, 0.4, 7, 7.9, 100]);
    expect(bars.reduce((sum, { count }) => sum + count, 0)).toBe(5);
    expect(bars.at(-1)?.toMs).toBeGreaterThan(100);
  });

  it("counts a value on a border in the bar that begins there", () => {
    const bars = createHistogram([5, 200]);
    expect(bars.find(({ count }) => count > 0)).toEqual({ fromMs: 5, toMs: 10, count: 1 });
  });

  it("is drawn with one rectangle a bar", () => {
    const bars = createHistogram(HUNDRED);
    const svg = formatHistogram(bars, { title: "Last allow", summary: summarise(HUNDRED) });
    expect(svg.match(/fill="#1f6feb"/g)).toHaveLength(bars.length);
    expect(svg).toContain("p50 50 ms, p99 99 ms, max 100 ms");
  });
});
