/** The arithmetic by hand, the simulation against what it is made of, and the page against both. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ASSUMED, CONSTANTS, MEASURED } from "./constants.ts";
import { computeNeeds, countRelays, levelsBelow } from "./needs.ts";
import { delayAt, readHops, simulateStops } from "./stop.ts";
import { drawScale, formatBytes, runScale, writeInto } from "./tables.ts";

const DOCS = join(import.meta.dirname, "..", "..", "docs");
const SEED = 1;
/** Ten renewals a second, one call a second and agent: figures that one can do in the head. */
const SIMPLE = {
  renewalsPerSecond: 10,
  callsPerSecond: 1_000,
  entriesPerSecond: 100_000,
  entriesPerCall: 3,
  bytesPerCall: 100,
  entriesPerRenewal: 2,
  bytesPerRenewal: 1_000,
  indexBytesPerEvent: 10,
  stateBytesPerAgent: 50,
  residentBytesPerInstance: 5,
  residentBytesPerAgent: 7,
  leasesPerServer: 10,
};
const AGENTS = {
  agents: 2_000_000,
  renewalEverySeconds: 1_000,
  callsPerAgentADay: 86_400,
  agentsPerVerifier: 10,
  regions: 4,
  used: 1,
};

describe("what a number of agents needs", () => {
  it("agrees with a case worked by hand", () => {
    // 10 renewals a second of one in 1,000 s each are 10,000 agents, who call 10,000 times a second: ten servers. A thousand
    // verifiers are ten times what these keep: a hundred relays, which they do.
    expect(computeNeeds(SIMPLE, AGENTS)).toEqual({
      renewalsPerSecond: 2_000,
      callsPerSecond: 2_000_000,
      entriesPerSecond: 6_004_000,
      agentsPerDeployment: 10_000,
      limit: "issuing",
      deployments: 200,
      deploymentsPerRegion: 50,
      serversEach: 10,
      servers: 2_000,
      verifiersEach: 1_000,
      relaysEach: 100,
      relays: 20_000,
      ledgerBytesAYear: 2_000_000 * 31_536_000 * 101,
      renewalBytesAYear: 2_000_000 * 31_536_000,
      indexBytesAYear: expect.closeTo(2_000_000 * 31_536_000 * 10.01, -3),
      stateBytes: 100_000_000,
      serverResidentBytes: 10_000_000,
      agentResidentBytes: 14_000_000,
    });
  });

  it("is ended by the sequencer when agents do much and renew seldom", () => {
    const { limit, agentsPerDeployment } = computeNeeds({ ...SIMPLE, entriesPerSecond: 3_002 }, AGENTS);
    expect({ limit, agentsPerDeployment }).toEqual({ limit: "sequencer", agentsPerDeployment: 1_000 });
  });

  it("doubles its deployments when half as much is used", () => {
    expect(computeNeeds(SIMPLE, { ...AGENTS, used: 0.5 }).deployments).toBe(400);
  });

  it("has two servers where one would do, since any may die", () => {
    expect(computeNeeds(SIMPLE, { ...AGENTS, agents: 10, callsPerAgentADay: 1 }).serversEach).toBe(2);
  });

  it("refuses a figure of nothing", () => {
    expect(() => computeNeeds({ ...SIMPLE, callsPerSecond: 0 }, AGENTS)).toThrow("callsPerSecond");
    expect(() => computeNeeds(SIMPLE, { ...AGENTS, used: Number.NaN })).toThrow("used");
  });
});

describe("relays", () => {
  it("are none as long as the servers keep all leases, and begin with one verifier more", () => {
    expect(countRelays(2_000, { leases: 1_000, servers: 2 })).toBe(0);
    expect(levelsBelow(2_001, { leases: 1_000, servers: 2 })).toEqual([3]);
    expect(levelsBelow(1_300_000, { leases: 1_000, servers: 1 })).toEqual([1_300, 2]);
  });

  it("with one lease each would never be enough", () => {
    expect(() => levelsBelow(2, { leases: 1, servers: 1 })).toThrow("one lease");
  });
});

describe("a simulated stop", () => {
  const even = { shares: [0, 1], revocations_ms: [[5, 5]] };

  it("takes the sum of its hops when every hop takes the same", () => {
    for (const [verifiers, hops] of [
      [10, 1],
      [100, 2],
      [1_000, 3],
    ] as const) {
      const stops = simulateStops(even, { verifiers, leases: 10, stops: 3, seed: SEED });
      expect([stops.hops, stops.lastMs]).toEqual([hops, Array(3).fill(5 * hops)]);
    }
  });

  it("is the same for the same seed and another for another", () => {
    const of = (seed: number) =>
      simulateStops(readHops(), { verifiers: 5_000, leases: 100, stops: 5, seed }).lastMs;
    expect(of(7)).toEqual(of(7));
    expect(of(7)).not.toEqual(of(8));
  });

  it("of one hop gives about what was measured of one hop, and never more than its longest", () => {
    const { summary } = simulateStops(readHops(), {
      verifiers: 1_000,
      leases: 1_000,
      stops: 2_000,
      seed: SEED,
    });
    expect(summary.p50).toBeGreaterThan(47.6 * 0.85);
    expect(summary.p50).toBeLessThan(47.6 * 1.15);
    expect(summary.max).toBeLessThanOrEqual(134);
  });

  it("reads a delay between two that are kept", () => {
    expect(delayAt(0.25, [0, 0.5, 1], [10, 20, 40])).toBe(15);
    expect(delayAt(0.75, [0, 0.5, 1], [10, 20, 40])).toBe(30);
    expect(delayAt(0, [0, 0.5, 1], [10, 20, 40])).toBe(10);
  });
});

describe("the measured figures", () => {
  it("name sections and files that are there", () => {
    const readme = readFileSync(join(import.meta.dirname, "..", "README.md"), "utf8");
    for (const { source } of Object.values(MEASURED))
      expect(readme).toMatch(new RegExp(`^##+ ${source.split(": ").at(-1)}`, "m"));
  });

  it("are in the text of their page as they are here", () => {
    const readme = readFileSync(join(import.meta.dirname, "..", "README.md"), "utf8");
    for (const figure of ["222/s", "742/s", "6,578/s", "2,842 bytes", "5,627 bytes", "284 bytes", "209 KiB"])
      expect(readme).toContain(figure);
  });
});

describe("docs/scale.md", () => {
  const report = runScale(readHops(), SEED);

  it("has the tables that the simulation gives", () => {
    const page = readFileSync(join(DOCS, "scale.md"), "utf8");
    expect(writeInto(page, report)).toBe(page);
    expect(report.needs).toEqual(computeNeeds(CONSTANTS, ASSUMED));
  });

  it("has the pictures that the simulation draws, and they load nothing", () => {
    const pictures = Object.entries(drawScale(report));
    expect(pictures.length).toBe(3);
    for (const [name, picture] of pictures) {
      expect(readFileSync(join(DOCS, "scale", name), "utf8")).toBe(picture);
      expect(picture.replace("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|<script/);
    }
  });

  it("is refused when it has no place for the tables", () => {
    expect(() => writeInto("# Scale", report)).toThrow("in the document");
  });

  it("writes bytes with a unit", () => {
    expect([999, 1_000, 365_400_000, 1.6e17].map(formatBytes)).toEqual(["999 B", "1 kB", "365 MB", "160 PB"]);
  });
});
