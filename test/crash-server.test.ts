/**
 * kill -9 on a real server under load: after every numbered step of the order of operations, at each place between
 * signing and answering, in a start, and at random (CRASH_KILLS, 2 unless given).
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CrashCampaign } from "./support/crash-campaign.ts";
import { CRASH_POINTS, insertAt, WEAKENINGS } from "./support/crash-points.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const IS_LONG = process.env.CRASH_KILLS !== undefined;
const RANDOM_KILLS = Number(process.env.CRASH_KILLS ?? 2);
/** Two of them in an everyday run: a start costs more than what is tried in it. */
const POINTS_IN_START = CRASH_POINTS.filter(({ inStart }) => inStart).slice(0, IS_LONG ? undefined : 2);
const CRASH_TIMEOUT_MS = 60_000;
/** The occasion at which a process dies: late enough that every client is at work. */
const HIT = 4;

describe("a crash", () => {
  let campaign: CrashCampaign;
  beforeAll(async () => {
    campaign = await CrashCampaign.begin();
  });
  afterAll(() => campaign.end());

  it("can be placed after each numbered step", () => {
    for (const point of CRASH_POINTS) {
      const source = readFileSync(`${ROOT}${point.file}`, "utf8");
      expect(insertAt(source, point, "die();")).toContain("\ndie();\n");
    }
    const numbers = CRASH_POINTS.flatMap(({ name }) => /^step (\d)/.exec(name)?.[1] ?? []);
    expect([...new Set(numbers)].map(Number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it.each(CRASH_POINTS)("keeps every promise, at: $name", { timeout: CRASH_TIMEOUT_MS }, async (point) => {
    expect(await campaign.crashAt(point, HIT)).toBeGreaterThan(0);
  });

  it.each(POINTS_IN_START)(
    "keeps every promise, in a start, at: $name",
    { timeout: CRASH_TIMEOUT_MS },
    async (point) => {
      expect(await campaign.crashInStart(point)).toBeGreaterThan(0);
    },
  );

  it.each(Array.from({ length: RANDOM_KILLS }, (_, index) => index + 1))(
    "keeps every promise, at a random moment (%i)",
    { timeout: CRASH_TIMEOUT_MS },
    async () => {
      expect(await campaign.crashAtRandom()).toBeGreaterThan(0);
    },
  );

  it("happened to clients that held something", () => {
    const { certificates, decisions, outcomes, revocations } = campaign.clients;
    for (const held of [certificates, decisions, outcomes, revocations])
      expect(held.length).toBeGreaterThan(5);
  });
});

describe("a server that keeps its promises less well", () => {
  it.each(WEAKENINGS)("is found out: $name", { timeout: CRASH_TIMEOUT_MS }, async (weakening) => {
    const campaign = await CrashCampaign.begin({ weakening });
    const point = CRASH_POINTS.find(({ name }) => name === weakening.crashAt);
    if (point === undefined) throw new Error("a weakening names a point");
    try {
      await expect(campaign.crashAt(point, 20)).rejects.toThrow(weakening.found);
    } finally {
      await campaign.end();
    }
  });
});
