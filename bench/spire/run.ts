/**
 * `./dev bench spire`: our server and node beside SPIRE's, on one machine in one run, in turns.
 *
 *   node bench/spire/run.ts [--json] [--quick]
 *
 * Needs root, to be two users, and Go once, to build SPIRE. About three minutes. Measures and never judges; a refused call
 * ends the run, because its figure would mean nothing. What the two do for each figure differs, and `bench/README.md`
 * says how.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { requireSpire, SPIRE_VERSION } from "../../interop/spire/tools.ts";
import { AUDITOR_UID } from "../../interop/workload/server.ts";
import { firstMessage, parseX509State, startMethod } from "../../test/workload-api-conformance/api.ts";
import { openConnection, parseTarget } from "../../test/workload-api-conformance/grpc.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { summarise } from "../revocation/statistics.ts";
import { openOurs, openTheirs, type Side } from "./sides.ts";

const PATIENCE_MS = 30_000;
const IN_FLIGHT = 8;
const POLL_MS = 5;
const CONNECTIONS = [1, 100, 1000];

interface Effort {
  readonly rounds: number;
  readonly roundMs: number;
  /** SPIRE's agent asks every 5 s, so each of its takes half of that in the mean: there are fewer. */
  readonly registrations: { readonly ours: number; readonly theirs: number };
}
const FULL: Effort = { rounds: 5, roundMs: 3_000, registrations: { ours: 200, theirs: 12 } };
const QUICK: Effort = { rounds: 2, roundMs: 1_000, registrations: { ours: 20, theirs: 3 } };

interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly ours: Readonly<Record<string, number>>;
  readonly theirs: Readonly<Record<string, number>>;
}

interface Sides {
  readonly ours: Side;
  readonly theirs: Side;
}

interface Rate {
  readonly perSecond: number;
  /** As many as one core of the server would have made, had it done nothing else and waited for nobody. */
  readonly perCoreSecond: number;
}

/** Both sides in turns, the order changing; the median of the rounds. */
async function ratesOf(
  { ours, theirs }: Sides,
  { rounds, roundMs }: Effort,
  work: (side: Side) => (caller: number) => Promise<unknown>,
): Promise<Pick<Figure, "ours" | "theirs">> {
  const rates = new Map<Side, Rate[]>([
    [ours, []],
    [theirs, []],
  ]);
  for (let round = -1; round < rounds; round += 1) {
    for (const side of round % 2 === 0 ? [ours, theirs] : [theirs, ours]) {
      const rate = await rateOf(side, work(side), roundMs);
      // The first round warms up and does not count.
      if (round >= 0) rates.get(side)?.push(rate);
    }
  }
  const median = (side: Side) => {
    const of = (look: (rate: Rate) => number) => summarise((rates.get(side) ?? []).map(look)).p50;
    return {
      "per second": of(({ perSecond }) => perSecond),
      "per second of a core": of(({ perCoreSecond }) => perCoreSecond),
    };
  };
  return { ours: median(ours), theirs: median(theirs) };
}

async function rateOf(side: Side, run: (caller: number) => Promise<unknown>, timeMs: number): Promise<Rate> {
  const processorBefore = side.processorSeconds();
  const startedAt = performance.now();
  let done = 0;
  const callers = Array.from({ length: IN_FLIGHT }, async (_, caller) => {
    while (performance.now() - startedAt < timeMs) {
      await run(caller);
      done += 1;
    }
  });
  await Promise.all(callers);
  const perSecond = (done * 1000) / (performance.now() - startedAt);
  return { perSecond, perCoreSecond: done / (side.processorSeconds() - processorBefore) };
}

/** From the request that registers a workload to the answer that has its SVID, asked for all the time. */
async function registrationTimes(side: Side, count: number): Promise<readonly number[]> {
  const timesMs: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const startedAt = performance.now();
    const { prefix, remove } = await side.register(`new-${index}`);
    while (!(await idsOf(side)).some((id) => id.startsWith(prefix))) {
      if (performance.now() - startedAt > PATIENCE_MS) throw new Error(`${side.name}: no SVID for ${prefix}`);
      await sleep(POLL_MS);
    }
    timesMs.push(performance.now() - startedAt);
    await remove();
  }
  return timesMs;
}

async function idsOf({ socket }: Side): Promise<readonly string[]> {
  const connection = openConnection(parseTarget(socket));
  const { message } = await firstMessage(startMethod(connection, "FetchX509SVID"), PATIENCE_MS);
  connection.close();
  return message === null ? [] : parseX509State(message).svids.map(({ spiffeId }) => spiffeId);
}

/** Half of the connections each as two users: ours lets one user have 512. */
async function fetchTimes({ socket }: Side, connections: number, timeMs: number): Promise<readonly number[]> {
  const script = join(import.meta.dirname, "fetch-client.ts");
  const users = connections === 1 ? [0] : [0, AUDITOR_UID];
  const run = promisify(execFile);
  const outputs = await Promise.all(
    users.map((uid) =>
      run(
        process.execPath,
        [script, socket, String(connections / users.length), String(timeMs), String(uid)],
        {
          maxBuffer: 64 * 1024 * 1024,
        },
      ),
    ),
  );
  return outputs.flatMap(({ stdout }): readonly number[] => JSON.parse(stdout));
}

async function measure(sides: Sides, effort: Effort): Promise<readonly Figure[]> {
  const { ours, theirs } = sides;
  const summary = (values: readonly number[]) => {
    const { count, p50, p99 } = summarise(values);
    return { count, p50, p99 };
  };
  const figures: Figure[] = [
    {
      what: "idle after start",
      unit: "MiB",
      ours: { rss: ours.residentMib() },
      theirs: { rss: theirs.residentMib() },
    },
    {
      ...{ what: "X.509-SVIDs issued by the server, 8 at once", unit: "1/s" },
      ...(await ratesOf(sides, effort, (side) => (caller) => side.issue(caller))),
    },
    {
      ...{ what: "JWT-SVIDs issued by the server, 8 at once", unit: "1/s" },
      ...(await ratesOf(sides, effort, (side) => (caller) => side.issueToken(caller))),
    },
  ];
  for (const connections of CONNECTIONS) {
    figures.push({
      ...{ what: `FetchX509SVID, first message, ${connections} connection(s) open`, unit: "ms" },
      ours: summary(await fetchTimes(ours, connections, effort.roundMs)),
      theirs: summary(await fetchTimes(theirs, connections, effort.roundMs)),
    });
  }
  figures.push({
    ...{ what: "entry created to first SVID", unit: "ms" },
    ours: summary(await registrationTimes(ours, effort.registrations.ours)),
    theirs: summary(await registrationTimes(theirs, effort.registrations.theirs)),
  });
  figures.push({
    ...{ what: "after all that", unit: "MiB" },
    ours: { rss: ours.residentMib() },
    theirs: { rss: theirs.residentMib() },
  });
  return figures;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: "boolean" }, quick: { type: "boolean" } } });
  if (process.getuid?.() !== 0) throw new Error("needs root: half of the connections are another user's");
  const machine = describeMachine();
  const tools = await requireSpire(join(import.meta.dirname, "..", ".."));
  const folder = mkdtempSync(join(tmpdir(), "bench-spire-"));
  const theirs = await openTheirs(tools, folder);
  const ours = await openOurs();
  try {
    while ((await idsOf(theirs)).length === 0) await sleep(POLL_MS * 20);
    const figures = await measure({ ours, theirs }, values.quick ? QUICK : FULL);
    const versions = { ...describeVersions(), spire: SPIRE_VERSION };
    const configurations = { ours: ours.configuration, spire: theirs.configuration };
    const report = { machine, versions, configurations, figures };
    keepResult("spire", report);
    if (values.json) console.log(JSON.stringify(report, null, 2));
    else show(figures, theirs.configuration);
  } finally {
    await ours.close();
    await theirs.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function show(figures: readonly Figure[], configuration: readonly string[]): void {
  const { cpu, cores, load } = describeMachine();
  console.log(
    `${cpu}, ${cores} cores, load ${load}; SPIRE ${SPIRE_VERSION}, its limit of 500 signings/s lifted:\n`,
  );
  console.log(configuration.join("\n"));
  const format = (values: Readonly<Record<string, number>>) =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
  for (const { what, unit, ours, theirs } of figures)
    console.log(`${what} (${unit}): TrustWarden ${format(ours)}; SPIRE ${format(theirs)}`);
}

await main();
