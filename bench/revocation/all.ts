/**
 * Every case of the revocation bench, one after the other: 100 and 1,000 verifiers, and 100 of them under delay, loss, cuts and a
 * server that stands still; with --large also 10,000 behind ten relays.
 *
 *   node bench/revocation/all.ts [--revokes 100] [--verifiers N] [--only NAME,NAME] [--large]
 *
 * Takes at most 25 minutes (35 with --large), since each case ends by itself; run it alone on a machine. Writes `.cache/bench/revocation-NAME.json`
 * and `.svg` for each case and prints one table. It fails when a case broke a promise or came to no end: an allow after the answer, or one
 * a second after a verifier was cut off; so does one in which nobody served, since it looked at nothing. What is faster or slower
 * than its bar is said and fails nothing. `--verifiers` takes fewer everywhere, to see that it runs.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { RESULTS } from "../keep.ts";
import { WrongUse } from "../wrong-use.ts";

const RUN = join(import.meta.dirname, "run.ts");

/** One case. Times are milliseconds; a bar is for the last allow anywhere. */
interface Case {
  readonly name: string;
  readonly verifiers: number;
  /** How many of the revocations that were asked for: what lasts takes its time. */
  readonly part: number;
  readonly seconds: number;
  readonly bars?: { readonly p99?: number; readonly max: number };
  readonly further: readonly string[];
}

const CASES: readonly Case[] = [
  { name: "100", verifiers: 100, part: 1, seconds: 120, bars: { max: 1_000 }, further: [] },
  {
    name: "1000",
    verifiers: 1_000,
    part: 1,
    seconds: 240,
    bars: { p99: 400, max: 1_000 },
    further: ["--watch-ms", "5"],
  },
  { name: "delay", verifiers: 100, part: 1, seconds: 150, further: ["--fault", "delay=100"] },
  { name: "loss", verifiers: 100, part: 1, seconds: 150, further: ["--fault", "loss=2"] },
  { name: "cut", verifiers: 100, part: 0.1, seconds: 200, further: ["--fault", "cut=10s"] },
  { name: "stop", verifiers: 100, part: 0.5, seconds: 240, further: ["--fault", "stop"] },
];

/** As `bench/README.md` says why. */
const LARGE: Case = {
  name: "10000",
  verifiers: 10_000,
  part: 1,
  seconds: 620,
  bars: { max: 1_000 },
  further: [
    ...["--relays", "10", "--processes", "8", "--leases-each", "50", "--open-per-second", "45"],
    ...["--watch-ms", "100", "--pause-ms", "1000", "--beat-ms", "600"],
  ],
};

const times = z.object({ count: z.number(), p50: z.number(), p99: z.number(), max: z.number() });
/** What a run wrote, as far as it is read here. */
const result = z.object({
  machine: z.object({ load: z.number() }),
  last_allow: times,
  answer: times,
  cut_off: times.optional(),
  recovered: times.optional(),
  broken: z.number(),
  least_serving: z.number(),
});

/** A line of the table. */
type Row = Readonly<Record<string, string | number>>;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      revokes: { type: "string", default: "100" },
      verifiers: { type: "string" },
      only: { type: "string" },
      large: { type: "boolean", default: false },
    },
  });
  const all = values.large ? [...CASES, LARGE] : CASES;
  const only = values.only?.split(",") ?? all.map(({ name }) => name);
  const cases = all.filter(({ name }) => only.includes(name));
  if (cases.length < only.length || !(Number(values.revokes) > 0))
    throw new WrongUse("--only takes names of cases, --revokes a number");
  const rows: Record<string, Row> = {};
  for (const one of cases) rows[one.name] = await runCase(one, values);
  console.table(rows);
  if (Object.values(rows).some(({ promise }) => promise !== "kept")) process.exitCode = 1;
}

async function runCase(
  { name, verifiers, part, seconds, bars, further }: Case,
  given: { readonly revokes: string; readonly verifiers?: string | undefined },
): Promise<Row> {
  const written = (ending: string, of = "") => join(RESULTS, `revocation${of}.${ending}`);
  rmSync(written("json"), { force: true });
  const sizes = {
    "--verifiers": Math.min(verifiers, Number(given.verifiers ?? verifiers)),
    "--revokes": Math.max(1, Math.ceil(Number(given.revokes) * part)),
    "--seconds": seconds,
  };
  const args = [
    RUN,
    ...Object.entries(sizes).flatMap(([option, size]) => [option, String(size)]),
    ...further,
  ];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const [code] = await once(child, "exit");
  if (!existsSync(written("json"))) return { promise: "no result" };
  for (const ending of ["json", "svg"]) copyFileSync(written(ending), written(ending, `-${name}`));
  const found = result.parse(JSON.parse(readFileSync(written("json"), "utf8")));
  const { last_allow: last, answer, cut_off: cutOff, recovered } = found;
  const isMet = bars === undefined || (last.max <= bars.max && last.p99 <= (bars.p99 ?? bars.max));
  return {
    promise: code !== 0 ? "BROKEN" : last.max === 0 ? "nobody served" : "kept",
    bar: bars === undefined ? "" : isMet ? "met" : "missed",
    revocations: last.count,
    "last allow p50": last.p50,
    p99: last.p99,
    max: last.max,
    "answer p99": answer.p99,
    "cut off, max": cutOff?.max ?? "",
    "back, max": recovered?.max ?? "",
    "served, least": found.least_serving,
    load: found.machine.load,
  };
}

await main();
