/**
 * `./dev bench tessera`: our log beside Tessera's POSIX log, in one run, in turns.
 *
 *   node bench/tessera/run.ts [--quick] [--json]
 *
 * The same entries and the same durability (an entry counts when it is on the disk, in its place) on both sides: added as
 * they are, on files in memory and on the disk; verified first, on the disk; and verified at 3,000 a second, for what one
 * entry waits. Measures and never judges; `bench/README.md` says what is not the same.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { encodeBundle } from "@trustwarden/core/agentledger/tile.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { percentile } from "../measure.ts";
import { formatNumber } from "../report.ts";
import { type Asked, type Costed, Ours, type Run, signEntries, type Where } from "./ours.ts";
import { type Peer, startPeer, TESSERA_VERSION } from "./peer.ts";

const EFFORT = { full: { rounds: 7, ms: 1000 }, quick: { rounds: 3, ms: 400 } } as const;
const AT_ONCE = 1024;
const PER_SECOND = 3000;
/** A file system in memory; without it that row is left out. */
const MEMORY = "/dev/shm";
const MODES = {
  "added, files in memory": { kind: "closed", where: "memory", how: "plain", number: AT_ONCE },
  durable: { kind: "closed", where: "disk", how: "plain", number: AT_ONCE },
  "verified and durable": { kind: "closed", where: "disk", how: "verified", number: AT_ONCE },
  "the same at 3,000/s": { kind: "paced", where: "disk", how: "verified", number: PER_SECOND },
} as const satisfies Readonly<Record<string, Omit<Asked, "ms">>>;

/** One mode, medians over the rounds. */
interface Row {
  readonly mode: string;
  readonly ours: Run;
  readonly tessera: Run;
  readonly ratio: number;
  /** Our rate over the raw rate of verifications of the same round. */
  readonly of_raw: number;
  /** Processor time of an entry, all our threads together, and of a raw verification beside it (us). */
  readonly cpu_us: number;
  readonly raw_cpu_us: number;
  /** The second over the first, round by round: what the machine does beside us slows both. */
  readonly cpu_of_raw: number;
}

/** What one round gave. */
interface Round {
  readonly ours: Run & Costed;
  readonly tessera: Run;
  readonly raw: Costed & { readonly rate: number };
}

const { values: options } = parseArgs({
  options: { json: { type: "boolean", default: false }, quick: { type: "boolean", default: false } },
});
const machine = describeMachine();
const roots: string[] = [];
try {
  const rows = await measure();
  const versions = { ...describeVersions(), tessera: TESSERA_VERSION };
  const report = { machine, versions, ...rows };
  keepResult("tessera", report);
  const text = options.json ? JSON.stringify(report, null, 2) : format(rows);
  console.log(text);
} finally {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
}

async function measure(): Promise<{ readonly raw: number; readonly rows: readonly Row[] }> {
  const signed = signEntries();
  const root = createRoot(tmpdir());
  const files = { entries: join(root, "entries"), spki: join(root, "spki") };
  writeFileSync(files.entries, encodeBundle(signed.texts.map(encodeUtf8)));
  writeFileSync(files.spki, signed.spki);
  const memory = hasMemory() ? createRoot(MEMORY) : undefined;
  const peer = await startPeer(files, placesIn("tessera", { disk: root, memory }));
  const ours = await Ours.open(signed, placesIn("ours", { disk: root, memory }));
  try {
    return await measureAll({ ours, peer, hasMemory: memory !== undefined });
  } finally {
    await ours.close();
    await peer.close();
  }
}

async function measureAll({
  ours,
  peer,
  hasMemory,
}: {
  readonly ours: Ours;
  readonly peer: Peer;
  readonly hasMemory: boolean;
}): Promise<{ readonly raw: number; readonly rows: readonly Row[] }> {
  const { rounds, ms } = options.quick ? EFFORT.quick : EFFORT.full;
  const modes = Object.entries(MODES).filter(([, { where }]) => where !== "memory" || hasMemory);
  const rates: number[] = [];
  const runs = new Map(modes.map(([mode]) => [mode, [] as Round[]]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [mode, settings] of modes) {
      const asked: Asked = { ...settings, ms };
      const raw = await ours.raw(ms);
      // Who goes first changes from round to round; the first round warms up and does not count.
      const first = round % 2 === 0 ? await ours.run(asked) : undefined;
      const tessera = await peer.run(asked);
      const own = first ?? (await ours.run(asked));
      if (round === 0) continue;
      rates.push(raw.rate);
      runs.get(mode)?.push({ ours: own, tessera, raw });
    }
  }
  const rows = modes.map(([mode]) => summarise(mode, runs.get(mode) ?? []));
  return { raw: percentile(rates, 50), rows };
}

function summarise(mode: string, runs: readonly Round[]): Row {
  const median = (of: (run: Round) => number) => percentile(runs.map(of), 50);
  const side = (of: (run: Round) => Run): Run => ({
    rate: median((run) => of(run).rate),
    p50: median((run) => of(run).p50),
    p99: median((run) => of(run).p99),
  });
  return {
    mode,
    ours: side((run) => run.ours),
    tessera: side((run) => run.tessera),
    ratio: median((run) => run.ours.rate / run.tessera.rate),
    of_raw: median((run) => run.ours.rate / run.raw.rate),
    cpu_us: median((run) => run.ours.cpuUs),
    raw_cpu_us: median((run) => run.raw.cpuUs),
    cpu_of_raw: median((run) => run.raw.cpuUs / run.ours.cpuUs),
  };
}

function format({ raw, rows }: { readonly raw: number; readonly rows: readonly Row[] }): string {
  const { cpu, cores, memory_gib, os, load } = machine;
  const side = ({ rate, p50, p99 }: Run) =>
    `${formatNumber(rate)}/s, p50 ${formatNumber(p50)} ms, p99 ${formatNumber(p99)} ms`;
  return [
    `${cpu}, ${cores} cores, ${memory_gib} GiB, ${os}; load ${load}; Node ${process.versions.node}, Tessera ${TESSERA_VERSION}`,
    `raw P-256 verifications of all cores together: ${formatNumber(raw)}/s`,
    ...rows.map(
      ({ mode, ours, tessera, ratio, of_raw, ...cpu }) =>
        `${mode}\n  TrustWarden  ${side(ours)}  (${of_raw.toFixed(2)} of raw)` +
        `\n  processor    ${cpu.cpu_us.toFixed(1)} us an entry, a raw verification ${cpu.raw_cpu_us.toFixed(1)} (${cpu.cpu_of_raw.toFixed(2)})` +
        `\n  Tessera      ${side(tessera)}\n  ratio ${ratio.toFixed(2)}`,
    ),
  ].join("\n");
}

function hasMemory(): boolean {
  return statSync(MEMORY, { throwIfNoEntry: false })?.isDirectory() === true;
}

function createRoot(parent: string): string {
  const root = mkdtempSync(join(parent, "trustwarden-bench-"));
  roots.push(root);
  return root;
}

function placesIn(
  name: string,
  { disk, memory }: { readonly disk: string; readonly memory: string | undefined },
): Readonly<Partial<Record<Where, string>>> {
  return {
    disk: join(disk, name),
    ...(memory === undefined ? {} : { memory: join(memory, name) }),
  };
}
