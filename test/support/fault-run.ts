/**
 * Runs the sweep of `fault-sweep.ts`, whole or a sample by seed, and fills a small disk; two at a time.
 *
 * Without strace, or without the right to watch and to mount, it is skipped loudly, and fails in CI.
 */
import assert from "node:assert/strict";
import { createRandom } from "../../interop/random.ts";
import { fillDisk, mayMount } from "./disk-full.ts";
import { type PlannedFault, planFaults, sweepFault } from "./fault-sweep.ts";
import { hasStrace } from "./strace.ts";

const LANES = 2;
/** Of a sample, beside one of each kind of call and fault. */
const SAMPLE_MS = 45_000;
/** Options of a Node whose log is not written before it is acknowledged: whoever looks has to see that. */
export const WEAKENED = [
  "--import",
  new URL("./crash-hook.ts?plan=none&weakening=the write-ahead log is not written", import.meta.url).href,
];

/** Where results go, one line each. */
export interface Tally {
  readonly pass: (line: string) => void;
  readonly fail: (name: string, error: unknown) => void;
}

/** @param options.seed - of the sample. */
export async function runFaults(
  options: { readonly isFull: boolean; readonly seed: number },
  tally: Tally,
): Promise<void> {
  await orSkip("faults of system calls", tally, hasStrace(), () => sweep(options, tally));
  await orSkip("a full disk", tally, await mayMount(), async () =>
    tally.pass(`a full disk: ${await fillDisk()} entries hold`),
  );
}

async function orSkip(
  name: string,
  tally: Tally,
  isPossible: boolean,
  run: () => Promise<void>,
): Promise<void> {
  if (!isPossible && process.env.CI === undefined) {
    console.log(`SKIPPED ${name}: it needs root and Debian's strace`);
    return;
  }
  try {
    assert.ok(isPossible, "it needs root and Debian's strace");
    await run();
  } catch (error) {
    tally.fail(name, error);
  }
}

async function sweep(
  { isFull, seed }: { readonly isFull: boolean; readonly seed: number },
  tally: Tally,
): Promise<void> {
  await assert.rejects(
    sweepFault({ syscall: "link", fault: "KILL", index: 1 }, { node: WEAKENED }),
    /is lost/,
    "a writer that does not keep what it acknowledged is found out",
  );
  tally.pass("a writer that does not keep what it acknowledges is found out");
  const all = await planFaults();
  console.log(`faults: ${all.length} in all, seed ${seed}`);
  const { first, rest } = order(all, seed);
  const deadlineMs = performance.now() + (isFull ? Number.POSITIVE_INFINITY : SAMPLE_MS);
  const must = new Set(first);
  const queue = [...first, ...rest].values();
  const lanes = Array.from({ length: LANES }, async () => {
    for (const fault of queue) {
      if (!must.has(fault) && performance.now() > deadlineMs) return;
      await sweepOne(fault, tally);
    }
  });
  await Promise.all(lanes);
}

async function sweepOne(fault: PlannedFault, tally: Tally): Promise<void> {
  const name = `${fault.fault} at ${fault.syscall} ${fault.index}`;
  try {
    tally.pass(`${name}: ${await sweepFault(fault)} entries hold`);
  } catch (error) {
    tally.fail(name, error);
  }
}

/** One of each kind of call and fault, then the others, both as the seed says. */
function order(all: readonly PlannedFault[], seed: number) {
  const random = createRandom(seed);
  const shuffled = all
    .map((fault) => ({ fault, rank: random.below(all.length * all.length) }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ fault }) => fault);
  const kinds = new Map(shuffled.map((fault) => [`${fault.syscall} ${fault.fault}`, fault]));
  const first = [...kinds.values()];
  return { first, rest: shuffled.filter((fault) => !first.includes(fault)) };
}
