/**
 * The long crash campaign: `node test/support/crash-run.ts [--kills 50]`.
 *
 * Kills a server under load at so many random moments, and at each point of `crash-points.ts` at an early and at a
 * later occasion; prints one line a crash and `N passed, N failed`. Exits with 1 on a failure.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { CrashCampaign } from "./crash-campaign.ts";
import { CRASH_POINTS } from "./crash-points.ts";

const DEFAULT_KILLS = 50;
/** The later occasion; the earlier one is the first. */
const MAX_HIT = 12;

interface Crash {
  readonly name: string;
  run(campaign: CrashCampaign): Promise<number>;
}

function planCrashes(kills: number): readonly Crash[] {
  const hits = [1, randomInt(2, MAX_HIT)];
  const points = CRASH_POINTS.flatMap((point) =>
    hits.map((hit) => ({
      name: `${point.name} (${hit})`,
      run: (campaign: CrashCampaign) => campaign.crashAt(point, hit),
    })),
  );
  const starts = CRASH_POINTS.filter(({ inStart }) => inStart).map((point) => ({
    name: `${point.name} (in a start)`,
    run: (campaign: CrashCampaign) => campaign.crashInStart(point),
  }));
  const random = Array.from({ length: kills }, (_, index) => ({
    name: `random moment ${index + 1}`,
    run: (campaign: CrashCampaign) => campaign.crashAtRandom(),
  }));
  return [...points, ...starts, ...random];
}

/** A deployment that failed is not gone on with: the next crash gets a new one. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { kills: { type: "string" } } });
  const kills = Number(values.kills ?? DEFAULT_KILLS);
  if (!Number.isSafeInteger(kills) || kills < 1) throw new Error("--kills takes a number from 1");
  let campaign = await CrashCampaign.begin();
  let passed = 0;
  let failed = 0;
  for (const crash of planCrashes(kills)) {
    try {
      const entries = await crash.run(campaign);
      passed += 1;
      console.log(`ok   ${crash.name}: ${entries} entries hold`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${crash.name}: ${error instanceof Error ? error.message : String(error)}`);
      await campaign.end();
      campaign = await CrashCampaign.begin();
    }
  }
  await campaign.end();
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

await main();
