/** The arithmetic and the formats; what they are fed is real, and how long it takes is nobody's test. */
import { describe, expect, it } from "vitest";
import { describeMachine, describeVersions } from "./machine.ts";
import { compare, percentile, repeat } from "./measure.ts";
import { formatPage } from "./page.ts";
import { type BenchReport, formatNumber, formatResult, formatTable, IDS } from "./report.ts";

const DESCRIPTION = { id: "sign", what: "issue", reference: "raw <sign>", unit: "us" } as const;
const FAST = { rate: 1000, p50Ms: 1, p99Ms: 2 };
const SLOW = { rate: 100, p50Ms: 10, p99Ms: 20 };

function reportOf(ratio: number): BenchReport {
  const result = formatResult(DESCRIPTION, { product: SLOW, reference: FAST, ratio });
  return { machine: describeMachine(), versions: describeVersions(), results: [result] };
}

describe("a percentile", () => {
  it("is the nearest rank", () => {
    expect(percentile([3, 1, 2], 50)).toBe(2);
    expect(percentile([1, 2, 3, 4], 50)).toBe(2);
    expect(percentile([1, 2, 3, 4], 99)).toBe(4);
    expect(percentile([7], 1)).toBe(7);
  });

  it("of nothing is an error, since nothing was measured", () => {
    expect(() => percentile([], 50)).toThrow("nothing was measured");
  });
});

describe("a comparison", () => {
  it("runs both sides equally often in turns, and prepares each run", async () => {
    const log: string[] = [];
    const product = { run: () => log.push("ours"), prepare: () => log.push("prepare") };
    const reference = { run: async () => log.push("raw"), operations: 2 };
    const { ratio } = await compare({ product, reference }, { rounds: 2, roundMs: 0 });
    const ours = ["prepare", "ours"];
    expect(log).toEqual([...ours, "raw", ...ours, "raw", "raw", ...ours]);
    expect(ratio).toBeGreaterThan(0);
  });

  it("ends with the error of a side that fails, and not with a rate", async () => {
    const fails = {
      run: async () => {
        throw new Error("refused");
      },
    };
    await expect(
      compare({ product: fails, reference: { run: () => 0 } }, { rounds: 1, roundMs: 0 }),
    ).rejects.toThrow("refused");
  });

  it("repeats exactly as often as it is told", async () => {
    let runs = 0;
    const count = async () => {
      runs += 1;
    };
    await repeat(count, { runs: 7, atOnce: 3 });
    expect(runs).toBe(7);
  });
});

describe("a report", () => {
  it("has the members that readers of --json rely on", () => {
    const { machine, versions, results } = reportOf(0.1);
    expect(Object.keys(versions)).toContain("node");
    expect(machine.cores).toBeGreaterThan(0);
    expect(results).toEqual([
      {
        id: "sign",
        what: "issue",
        rate: 100,
        p50: 10_000,
        p99: 20_000,
        unit: "us",
        reference: { what: "raw <sign>", rate: 1000, p50: 1000, p99: 2000 },
        ratio: 0.1,
        goal: { aim: "ratio >= 0.5", actual: 0.1, met: false },
      },
    ]);
  });

  it("says whether a goal is met, on either side of it", () => {
    expect(reportOf(0.5).results[0]?.goal?.met).toBe(true);
    expect(reportOf(0.4999).results[0]?.goal?.met).toBe(false);
  });

  it("is a table with a line for each benchmark, and a page with nothing from elsewhere", () => {
    const report = reportOf(0.1);
    expect(formatTable(report)).toMatch(/^sign +100 +10,000 us .*MISSED ratio >= 0\.5 \(0\.1\)$/m);
    const page = formatPage(report);
    expect(page).toContain("prefers-color-scheme: dark");
    expect(page).toContain("raw &lt;sign&gt;");
    expect(page).not.toMatch(/<script|https?:\/\//);
  });

  it("names each benchmark once", () => {
    expect(new Set(IDS).size).toBe(IDS.length);
  });

  it("writes numbers with the digits that count", () => {
    expect(formatNumber(1234.6)).toBe("1,235");
    expect(formatNumber(0.0123456)).toBe("0.01235");
  });
});
