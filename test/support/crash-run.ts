/**
 * The long crash campaign: `node test/support/crash-run.ts [--kills 50] [--faults none|sample|full] [--seed N]
 * [--storage posix|postgres] [--writers 40]`.
 *
 * Kills servers under load at so many random moments, and at each point of `crash-points.ts` on some occasion (`./dev test`
 * has an early one of each); then lets writers of the ledger meet a failing disk (`fault-run.ts`), with `postgres` instead
 * the ledger in a database and an object store. Then kills writers of a log (`kill-run.ts`), which cost a tenth of a server's: 2,000 kills
 * are `--kills 0 --faults none --writers 2000`. Two deployments at a time, one for each core of a small machine. Prints
 * one line a crash and `N passed, N failed`. Exits with 1 on a failure.
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openStorageLab } from "../../interop/storage/lab.ts";
import { CrashCampaign } from "./crash-campaign.ts";
import { CRASH_POINTS } from "./crash-points.ts";
import { runFaults, type Tally } from "./fault-run.ts";
import { runKills } from "./kill-run.ts";
import { createRemoteLedger } from "./remote-ledger.ts";

const DEFAULT_KILLS = 50;
const DEFAULT_WRITERS = 40;
const LANES = 2;
/** Of one deployment: its books grow with every crash, and with them the audit after each. */
const MAX_CRASHES = 20;
/** A checkpoint comes four times a second. */
const MAX_HIT = 6;
const ROOT = join(import.meta.dirname, "..", "..");

interface Crash {
  readonly name: string;
  run(campaign: CrashCampaign): Promise<number>;
}

function planCrashes(kills: number): readonly Crash[] {
  const points = CRASH_POINTS.map((point) => {
    const hit = randomInt(1, MAX_HIT + 1);
    return {
      name: `${point.name} (${hit})`,
      run: (campaign: CrashCampaign) => campaign.crashAt(point, hit),
    };
  });
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

/** A deployment that failed, or has seen enough, is not gone on with: the next crash gets a new one. */
async function runLane(
  crashes: Iterator<Crash>,
  tally: Tally,
  begin: () => Promise<CrashCampaign>,
): Promise<void> {
  let campaign = await begin();
  let crashed = 0;
  for (let next = crashes.next(); next.done !== true; next = crashes.next()) {
    const { name, run } = next.value;
    try {
      tally.pass(`${name}: ${await run(campaign)} entries hold`);
      crashed += 1;
    } catch (error) {
      tally.fail(name, error);
      crashed = MAX_CRASHES;
    }
    if (crashed < MAX_CRASHES) continue;
    await campaign.end();
    campaign = await begin();
    crashed = 0;
  }
  await campaign.end();
}

function createTally(): Tally & { readonly passed: number; readonly failed: number } {
  const counts = { passed: 0, failed: 0 };
  return {
    get passed() {
      return counts.passed;
    },
    get failed() {
      return counts.failed;
    },
    pass: (line) => {
      counts.passed += 1;
      console.log(`ok   ${line}`);
    },
    fail: (name, error) => {
      counts.failed += 1;
      console.log(`FAIL ${name}: ${error instanceof Error ? error.message : String(error)}`);
    },
  };
}

async function killPosix(kills: number, tally: Tally): Promise<void> {
  const crashes = planCrashes(kills).values();
  const lanes = Array.from({ length: LANES }, () => runLane(crashes, tally, () => CrashCampaign.begin()));
  await Promise.all(lanes);
}

/** One deployment: all are of one trust domain, and so of one log. */
async function killPostgres(kills: number, tally: Tally): Promise<void> {
  const storage = await openStorageLab({ root: ROOT, cache: join(ROOT, ".cache", "interop") });
  try {
    await runLane(planCrashes(kills).values(), tally, async () =>
      CrashCampaign.begin({ ledger: await createRemoteLedger(storage.lab) }),
    );
  } finally {
    await storage.close();
  }
}

/** A failing disk under writers of a log, and many of them killed. */
async function disturbWriters(
  { faults, writers, seed }: { readonly faults: string; readonly writers: number; readonly seed: number },
  tally: Tally,
): Promise<void> {
  if (faults !== "none") await runFaults({ isFull: faults === "full", seed }, tally);
  if (writers > 0) await runKills({ kills: writers, seed }, tally);
}

function countOf(name: string, given: string | number): number {
  const count = Number(given);
  if (!Number.isSafeInteger(count) || count < 0) throw new Error(`--${name} takes a number`);
  return count;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kills: { type: "string" },
      faults: { type: "string", default: "sample" },
      seed: { type: "string" },
      storage: { type: "string", default: "posix" },
      writers: { type: "string" },
    },
  });
  const kills = countOf("kills", values.kills ?? DEFAULT_KILLS);
  const writers = countOf("writers", values.writers ?? DEFAULT_WRITERS);
  const { faults, storage } = values;
  if (faults !== "none" && faults !== "sample" && faults !== "full")
    throw new Error("--faults takes none, sample or full");
  if (storage !== "posix" && storage !== "postgres") throw new Error("--storage takes posix or postgres");
  const tally = createTally();
  if (kills > 0) await (storage === "posix" ? killPosix : killPostgres)(kills, tally);
  const seed = Number(values.seed ?? randomInt(2 ** 31));
  if (storage === "posix") await disturbWriters({ faults, writers, seed }, tally);
  console.log(`\n${tally.passed} passed, ${tally.failed} failed`);
  process.exitCode = tally.failed > 0 || tally.passed === 0 ? 1 : 0;
}

await main();
