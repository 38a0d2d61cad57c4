/**
 * `./dev bench`: what TrustWarden costs, each figure beside the raw operation that it cannot do without.
 *
 *   node bench/run.ts [--json] [--quick] [--only ID,ID…] [--out DIR]
 *
 * Prints a table, or with `--json` the report as one JSON document; writes `index.html` and `report.json` below
 * `.cache/bench` either way. Measures and never judges: a goal that is missed is shown, and the exit code stays 0.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { appendDurableBench, appendHashBench, appendVerifiedBench } from "./append-bench.ts";
import type { Bench, Setting } from "./bench.ts";
import { createBench, createChildBench } from "./create-bench.ts";
import { decideBench } from "./decide-bench.ts";
import { guardBench } from "./guard-bench.ts";
import { keepResult, RESULTS } from "./keep.ts";
import { describeMachine, describeVersions } from "./machine.ts";
import { compare, type Effort } from "./measure.ts";
import { formatPage } from "./page.ts";
import { type BenchReport, formatResult, formatTable, type Result } from "./report.ts";
import { issueBench, signBench } from "./sign-bench.ts";
import { signTokenBench } from "./sign-token-bench.ts";
import { verifyBench } from "./verify-bench.ts";
import { WrongUse } from "./wrong-use.ts";

const BENCHES: readonly Bench[] = [
  signBench,
  issueBench,
  signTokenBench,
  createBench,
  createChildBench,
  decideBench,
  appendHashBench,
  appendDurableBench,
  appendVerifiedBench,
  verifyBench,
  guardBench,
];
/** About two minutes in all, and about half of one. */
const FULL: Effort = { rounds: 11, roundMs: 500 };
const QUICK: Effort = { rounds: 3, roundMs: 250 };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      out: { type: "string", default: RESULTS },
    },
  });
  const benches = values.only === undefined ? BENCHES : values.only.split(",").map(findBench);
  const report = await measureAll(benches, values.quick);
  keepResult("report", report, values.out);
  writeFileSync(join(values.out, "index.html"), formatPage(report));
  console.log(values.json ? JSON.stringify(report, null, 2) : formatTable(report));
  console.error(`\nPlotted in ${join(values.out, "index.html")}`);
}

function findBench(wanted: string): Bench {
  const found = BENCHES.find(({ id }) => id === wanted);
  if (found !== undefined) return found;
  const known = BENCHES.map(({ id }) => id).join(", ");
  throw new WrongUse(`There is no benchmark '${wanted}'. There are: ${known}.`);
}

async function measureAll(benches: readonly Bench[], isQuick: boolean): Promise<BenchReport> {
  const root = mkdtempSync(join(tmpdir(), "trustwarden-bench-"));
  const setting: Setting = {
    effort: isQuick ? QUICK : FULL,
    isQuick,
    createDirectory: () => mkdtempSync(join(root, "b")),
  };
  const machine = describeMachine();
  try {
    const results: Result[] = [];
    for (const bench of benches) {
      if (bench.isAvailable?.() === false)
        console.error(`bench: SKIP ${bench.id}: what it needs is not installed`);
      else results.push(await measureOne(bench, setting));
    }
    return { machine, versions: describeVersions(), results };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function measureOne(bench: Bench, setting: Setting): Promise<Result> {
  console.error(`bench: ${bench.id}`);
  const { product, reference, warmUp, close } = await bench.open(setting);
  try {
    await warmUp?.();
    return formatResult(bench, await compare({ product, reference }, setting.effort));
  } finally {
    await close?.();
  }
}

await main();
