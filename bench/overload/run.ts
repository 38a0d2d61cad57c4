/**
 * `./dev bench overload`: what a server does that is asked three times as much as it can do, and what one owner can take
 * from the others.
 *
 *   node bench/overload/run.ts [--seconds 5] [--no-door]
 *
 * One `warden up` in a process of its own; agents of ten owners ask for decisions over kept connections. First each asks as
 * fast as it is answered: the best of it is the peak. Then all together offer three times the peak, whatever comes back; then
 * nine offer 0.8 of a tenth each and the last fifty times its tenth. An operator's stop is asked for ten times a second
 * all the while. Everything is a ratio within this run. `--no-door` shows the same without what is measured here.
 */
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import {
  createOwner,
  enrolAgent,
  ownerRequest,
  serverIdOf,
  type TestInstance,
} from "../../test/support/actors.ts";
import { send } from "../../test/support/http.ts";
import { type TestServer, TRUST_DOMAIN } from "../../test/support/server.ts";
import { describe, measure as measureProcess, start } from "../gateway/lab.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { summarise } from "../revocation/statistics.ts";
import { end } from "../warden.ts";
import { askInTurn, connect, createMember, type Member, offer, prepare, type Share } from "./crowd.ts";

const WARDEN = join(import.meta.dirname, "..", "..", "cli", "main.ts");
const OWNERS = 10;
const CONNECTIONS = 24;
const FLOODER_CONNECTIONS = 240;
const ROUNDS = 3;
const OVERLOAD = 3;
const FLOOD = 50;
/** What those who keep to their share offer of it. */
const MODEST = 0.8;
const STOP_EVERY_MS = 100;
const TICKS_PER_SECOND = 100;
const MS_PER_TICK = 10;
const UNLIMITED = { perSecond: 1_000_000, burst: 1_000_000 };

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    "no-door": { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);

/** Enrols whom to stop. What it returns stops one ten times a second, until told to end; milliseconds of each. */
async function prepareStops(
  server: TestServer,
  { aud, count }: { readonly aud: string; readonly count: number },
): Promise<() => () => Promise<readonly number[]>> {
  const name = `stopped-${crypto.randomUUID()}`;
  const owner = await createOwner(server, name);
  const victims: TestInstance[] = [];
  for (let made = 0; made < count; made += 1)
    victims.push(await enrolAgent(server, owner, { scope: ["read:transactions"], name: `${name}-${made}` }));
  const took: number[] = [];
  let isOver = false;
  const stopOne = async ({ answer: { instance_id: id } }: TestInstance, plannedMs: number): Promise<void> => {
    const body = JSON.stringify({ target: { kind: "instance", id } });
    const request = ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud });
    const { status, text } = await send(server.stopUrl, request);
    if (status !== 200) throw new Error(`a stop was answered ${status} ${text}`);
    took.push(performance.now() - plannedMs);
  };
  // Each at its own instant, whether those before were answered or not: a lane that is slow gets more of them at once, and what
  // a stop waits before it is sent is counted too.
  const stop = async (): Promise<void> => {
    const beganMs = performance.now();
    const sent: Promise<void>[] = [];
    for (const [index, victim] of victims.entries()) {
      const plannedMs = beganMs + index * STOP_EVERY_MS;
      await sleep(Math.max(0, plannedMs - performance.now()));
      if (isOver) break;
      const one = stopOne(victim, plannedMs);
      // Heard of below, with all of them.
      one.catch(() => undefined);
      sent.push(one);
    }
    await Promise.all(sent);
  };
  return () => {
    const stopping = stop();
    return async () => {
      isOver = true;
      await stopping;
      return took;
    };
  };
}

/** Runs one phase with stops beside it. */
async function phase(
  server: TestServer,
  {
    aud,
    members,
    rates,
    usage,
  }: {
    readonly usage: () => number;
    readonly aud: string;
    readonly members: readonly Member[];
    readonly rates: readonly number[];
  },
) {
  const startStopping = await prepareStops(server, {
    aud,
    count: Math.ceil((seconds * 1000) / STOP_EVERY_MS),
  });
  for (const [index, member] of members.entries())
    prepare(member, aud, Math.ceil((rates[index] ?? 0) * seconds) + 1);
  const lines = await Promise.all(
    members.map((member, index) => connect(member, index === 0 ? FLOODER_CONNECTIONS : CONNECTIONS)),
  );
  const endStopping = startStopping();
  const usedBefore = usage();
  const shares = await Promise.all(
    members.map((member, index) =>
      offer(member, { lines: lines[index] ?? [], perSecond: rates[index] ?? 0, seconds }),
    ),
  );
  for (const line of lines.flat()) line.close();
  const cpuSeconds = (usage() - usedBefore) / TICKS_PER_SECOND;
  const { count, p50: p50Ms, p99: p99Ms, max: maxMs } = summarise(await endStopping());
  return {
    cpuSeconds,
    shares,
    goodPerSecond: Math.round(sum(shares, "good") / seconds),
    offeredPerSecond: Math.round((sum(shares, "offered") - sum(shares, "late")) / seconds),
    refusedPerSecond: Math.round(sum(shares, "refused") / seconds),
    odd: sum(shares, "odd"),
    stops: { count, p50Ms, p99Ms, maxMs },
  };
}

function sum(shares: readonly Share[], of: keyof Share): number {
  return shares.reduce((total, share) => total + share[of], 0);
}

async function measure(
  server: TestServer,
  { aud, usage }: { readonly aud: string; readonly usage: () => number },
) {
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
  const overload = await phase(server, { aud, usage, members, rates: members.map(() => each * OVERLOAD) });
  const rates = members.map((_member, index) => each * (index === 0 ? FLOOD : MODEST));
  const flood = await phase(server, { aud, usage, members, rates });
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
  mkdirSync(join(directory, "config"), { mode: 0o700 });
  const door = values["no-door"] ? { requests: 1_000_000, delayMs: 3_600_000, places: 1_000_000 } : {};
  const intake = { agent: UNLIMITED, owner: UNLIMITED, ...door };
  const quotas = { easyAgentsPerOwnerPerMinute: 1_000_000 };
  writeFileSync(join(directory, "config", "server.json"), JSON.stringify({ intake, quotas }));
  const places = ["--data", join(directory, "data"), "--config-dir", join(directory, "config")];
  const listen = ["--trust-domain", TRUST_DOMAIN, "--port", "0", "--stop-port", "0", "--log-level", "error"];
  const { answer, child } = await start(children, [WARDEN, "up", "--no-node", ...listen, ...places]);
  const server = describe(answer);
  const report = {
    machine,
    versions: describeVersions(),
    ...(await measure(server, {
      aud: await serverIdOf(server),
      usage: measureProcess(child, server.url).cpuTicks,
    })),
  };
  keepResult("overload", report);
  console.log(JSON.stringify(report, null, 2));
} finally {
  for (const child of children.toReversed()) await end(child);
  rmSync(directory, { recursive: true, force: true });
}
