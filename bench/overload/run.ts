/**
 * `./dev bench overload`: what a server does that is asked three times as much as it can do, and what one owner can take
 * from the others.
 *
 *   node bench/overload/run.ts [--seconds 5] [--connections 200] [--no-door]
 *
 * One `warden up` in a process of its own; agents of ten owners ask for decisions over kept connections. First each asks as
 * fast as it is answered: the best of it is the peak. Then all together offer three times the peak, whatever comes back; then
 * nine offer 0.8 of a tenth each and the last fifty times its tenth. An owner's stop is asked for ten times a second
 * all the while, by a third process. A connection has one request at a time, and a server that is asked too much lets those it refuses
 * wait: what no connection was free for is `held back`. Everything is a ratio within this run. `--no-door` shows the same
 * without what is measured here.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { serverIdOf } from "../../test/support/actors.ts";
import type { TestServer } from "../../test/support/server.ts";
import { measure as measureProcess, NO_RATES, startWarden } from "../gateway/lab.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { TICKS_PER_SECOND } from "../process-use.ts";
import { summarise } from "../revocation/statistics.ts";
import { end } from "../warden.ts";
import { askInTurn, connect, createMember, type Member, offer, prepare, type Share } from "./crowd.ts";
import { prepareStops } from "./stopper.ts";

const OWNERS = 10;
/** Of those who keep to their share. */
const CONNECTIONS = 24;
/** Of the one who does not, as often as of those who all ask too much. */
const FLOODER = 2;
const ROUNDS = 3;
const OVERLOAD = 3;
const FLOOD = 50;
/** What those who keep to their share offer of it. */
const MODEST = 0.8;
const STOPS_PER_SECOND = 10;
const MS_PER_TICK = 10;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    connections: { type: "string", default: "200" },
    "no-door": { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const many = Number(values.connections);

interface Run {
  readonly server: TestServer;
  /** What the server said when it was up. */
  readonly ready: string;
  readonly aud: string;
  /** Ticks of the server's processor time. */
  readonly usage: () => number;
  readonly children: ChildProcess[];
}

/** Runs one phase with stops beside it; the rate and connections of each member. */
async function phase(
  { ready, aud, usage, children }: Run,
  {
    members,
    rates,
    connections,
  }: {
    readonly members: readonly Member[];
    readonly rates: readonly number[];
    readonly connections: readonly number[];
  },
) {
  const startStopping = await prepareStops(children, { ready, aud, count: seconds * STOPS_PER_SECOND });
  for (const [index, member] of members.entries())
    prepare(member, aud, Math.ceil((rates[index] ?? 0) * seconds) + 1);
  const lines = await Promise.all(
    members.map((member, index) => connect(member, connections[index] ?? CONNECTIONS)),
  );
  const stopping = startStopping();
  const usedBefore = usage();
  const shares = await Promise.all(
    members.map((member, index) =>
      offer(member, { lines: lines[index] ?? [], perSecond: rates[index] ?? 0, seconds }),
    ),
  );
  const stopped = await stopping.end();
  for (const line of lines.flat()) line.close();
  const cpuSeconds = (usage() - usedBefore) / TICKS_PER_SECOND;
  const { count, p50: p50Ms, p99: p99Ms, max: maxMs } = summarise(stopped);
  return {
    cpuSeconds,
    shares,
    goodPerSecond: Math.round(sum(shares, "good") / seconds),
    wantedPerSecond: Math.round(sum(shares, "offered") / seconds),
    heldBackPerSecond: Math.round(sum(shares, "heldBack") / seconds),
    refusedPerSecond: Math.round(sum(shares, "refused") / seconds),
    odd: sum(shares, "odd"),
    stops: { count, p50Ms, p99Ms, maxMs },
  };
}

function sum(shares: readonly Share[], of: keyof Share): number {
  return shares.reduce((total, share) => total + share[of], 0);
}

async function measure(run: Run) {
  const { server, aud, usage } = run;
  const members = await Promise.all(
    Array.from({ length: OWNERS }, (_unused, index) => createMember(server, `owner-${index}`)),
  );
  let peak = 0;
  let cpuPerGoodMs = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const member of members) prepare(member, aud, 400 * seconds);
    const usedBefore = usage();
    const found = await askInTurn(members, { connections: 4, seconds });
    if (found > peak) cpuPerGoodMs = ((usage() - usedBefore) * MS_PER_TICK) / (found * seconds);
    peak = Math.max(peak, found);
  }
  const each = peak / OWNERS;
  const overload = await phase(run, {
    members,
    rates: members.map(() => each * OVERLOAD),
    connections: members.map(() => many),
  });
  const flood = await phase(run, {
    members,
    rates: members.map((_member, index) => each * (index === 0 ? FLOOD : MODEST)),
    connections: members.map((_member, index) => (index === 0 ? many * FLOODER : CONNECTIONS)),
  });
  const modest = flood.shares.slice(1).map(({ good, offered }) => good / offered);
  const { shares: _shares, ...rest } = flood;
  const { shares: each3, ...overloaded } = overload;
  return {
    peakPerSecond: Math.round(peak),
    cpuPerGoodMs,
    overload: {
      ...overloaded,
      ofPeak: Math.round((overload.goodPerSecond / peak) * 100) / 100,
      smallestShare: Math.min(...each3.map(({ good }) => good)) / Math.max(...each3.map(({ good }) => good)),
    },
    flood: {
      ...rest,
      ofPeak: Math.round((flood.goodPerSecond / peak) * 100) / 100,
      flooder: flood.shares[0],
      modest: flood.shares.slice(1),
      /** Of what those who kept to their share offered, the part that was answered: the worst of nine. */
      worstOfTheModest: Math.round(Math.min(...modest) * 1000) / 1000,
    },
  };
}

const machine = describeMachine();
const directory = mkdtempSync(join(tmpdir(), "overload-"));
const children: ChildProcess[] = [];
try {
  const door = values["no-door"] ? { requests: 1_000_000, delayMs: 3_600_000, places: 1_000_000 } : {};
  const intake = { ...NO_RATES, ...door };
  const quotas = { easyAgentsPerOwnerPerMinute: 1_000_000 };
  const settings = { intake, quotas };
  const { answer, child, server } = await startWarden(children, directory, { settings });
  const report = {
    machine,
    versions: describeVersions(),
    ...(await measure({
      server,
      ready: JSON.stringify(answer),
      aud: await serverIdOf(server),
      usage: measureProcess(child, server.url).cpuTicks,
      children,
    })),
  };
  keepResult("overload", report);
  console.log(JSON.stringify(report, null, 2));
} finally {
  for (const child of children.toReversed()) await end(child);
  rmSync(directory, { recursive: true, force: true });
}
