/**
 * How long after the call to revoke does anybody still allow? A real server, 100 verifiers in four processes, each
 * process busy with guarded visits, and 100 revocations one after the other.
 *
 *   node bench/revocation/run.ts [--verifiers 100] [--revokes 100] [--processes 4] [--relays 0] [--leases-each 1]
 *     [--watch-ms 1] [--pause-ms 0] [--beat-ms 200] [--open-per-second 0] [--seconds 170] [--fault delay=100|loss=2|cut=10s|stop]
 *
 * With relays the verifiers are behind them. `--leases-each` gives each identity that many leases; `--watch-ms` is how
 * exactly the last allow is known, and what the watching costs; `--pause-ms` lies between two visits. A beat costs about
 * 80 us of processor at both its ends together, so that two cores carry some 3,000 verifiers that beat as they should, every
 * 200 ms. `--beat-ms` lets more of them fit on one machine, by leases that last less long beyond their beats; the report
 * says how many verifiers served at the moment of the call. `--open-per-second` opens no more at a time: handshakes as fast as they
 * go take the processors from those who beat already, whose leases lapse, who come again with another handshake. `bench/README.md` has the commands and what came out.
 *
 * Prints a table and writes `.cache/bench/revocation.json` and `.svg`. Nothing is asserted about speed. An allow after
 * the server said that everybody stopped, or a second after a verifier was cut off, is a broken promise and no slowness:
 * it makes the run fail.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { AgentIdentity } from "trustwarden";
import { describeMachine } from "../machine.ts";
import { end } from "../warden.ts";
import { type Deployment, openDeployment } from "./deployment.ts";
import { type Fault, type Network, openNetwork, parseFault } from "./faults.ts";
import { type Answer, answer, type Order, type ReportAnswer } from "./messages.ts";
import { countProcessors, type LeaseCosts, leaseCosts, type Processes } from "./processors.ts";
import { type Load, type Measured, report, type Sizes } from "./report.ts";
import { share } from "./statistics.ts";

const VERIFIERS = join(import.meta.dirname, "verifiers.ts");
/** Revocations come at any moment of the verifiers' beats. */
const MAX_PAUSE_MS = 200;
/** Tickets beside those that are needed: so many, and one for each so many. */
const SPARES = 10;
/** With every lease open and nothing else to do, for the processor time of a beat. */
const BEATING_MS = 3_000;
/** After the answer the verifiers are watched a little longer: somebody might allow again. */
const AFTERMATH_MS = 100;
/** Beyond `--seconds`, in which nothing new begins, for what is under way. */
const GRACE_MS = 45_000;
const NS_PER_MS = 1e6;
const MAY_BE_NOTHING = ["relays", "pauseMs", "openPerSecond"];

interface Target {
  readonly instanceId: string;
  readonly ids: readonly string[];
}

/** What a run has, while it lasts. */
interface Scene {
  readonly deployment: Deployment;
  readonly children: readonly ChildProcess[];
  readonly network: Network;
  readonly fault: Fault;
  readonly sizes: Sizes;
}

async function main(): Promise<void> {
  const { sizes, fault } = readArguments();
  const startedMs = performance.now();
  const directory = mkdtempSync(join(tmpdir(), "tw-revocation-"));
  const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  let cleaning: Promise<void> | undefined;
  // Once: whoever gives up ends the verifiers first, and the run fails of that before the relays and the server have ended.
  const cleanUp = () => {
    cleaning ??= runInTurn(cleanups.toReversed());
    return cleaning;
  };
  const deadline = setTimeout(() => void giveUp(sizes.seconds, cleanUp), sizes.seconds * 1000 + GRACE_MS);
  try {
    const machine = describeMachine();
    const deployment = await openDeployment(directory);
    cleanups.push(() => deployment.close());
    const targets = await enrolTargets(deployment, sizes.revokes);
    say(`${targets.length} agents to stop`);
    const { origins, relays } = await openOrigins(deployment, sizes.relays, cleanups);
    const network = await openNetwork(fault, { origins, serverPid: deployment.pid });
    cleanups.push(() => network.close());
    const { children, processes, costs } = await openCounted(deployment, {
      sizes,
      network,
      cleanups,
      relays,
    });
    const scene = { deployment, children, network, fault, sizes };
    await serve(scene);
    if (fault.kind === "delay" || fault.kind === "loss") network.strike();
    const spent = countProcessors(processes);
    const loadStartedMs = performance.now();
    const measured: Measured[] = [];
    for (const target of targets) {
      if (performance.now() - startedMs > sizes.seconds * 1000) break;
      measured.push(await measure(scene, target));
      say(`${measured.length} of ${targets.length} stopped`);
    }
    if (measured.length === 0)
      throw new Error("the time was over before the first revocation: give more --seconds");
    const load = await readLoad(children);
    const seconds = (performance.now() - loadStartedMs) / 1000;
    const use = { costs, stopping: spent() };
    if (!report({ machine, sizes, fault, measured, load, seconds, use })) process.exitCode = 1;
  } finally {
    clearTimeout(deadline);
    await cleanUp();
  }
}

async function runInTurn(cleanups: readonly (() => unknown)[]): Promise<void> {
  for (const cleanup of cleanups) await cleanup();
}

async function giveUp(seconds: number, cleanUp: () => Promise<void>): Promise<void> {
  console.error(
    `the run had not come to its end ${GRACE_MS / 1000} s after the ${seconds} s that it was given`,
  );
  await cleanUp();
  process.exit(1);
}

/** On standard error, since a long run that is silent looks like one that hangs. */
function say(what: string): void {
  console.error(`${Math.round(performance.now() / 1000)} s: ${what}`);
}

function readArguments(): { readonly sizes: Sizes; readonly fault: Fault } {
  const { values } = parseArgs({
    options: {
      verifiers: { type: "string", default: "100" },
      revokes: { type: "string" },
      processes: { type: "string", default: "4" },
      relays: { type: "string", default: "0" },
      "leases-each": { type: "string", default: "1" },
      "watch-ms": { type: "string", default: "1" },
      "pause-ms": { type: "string", default: "0" },
      "beat-ms": { type: "string", default: "200" },
      "open-per-second": { type: "string", default: "0" },
      // What was measured until then is reported.
      seconds: { type: "string", default: "170" },
      fault: { type: "string" },
    },
  });
  const fault = parseFault(values.fault);
  const sizes = {
    verifiers: Number(values.verifiers),
    revokes: Number(values.revokes ?? ("lastsMs" in fault ? 10 : 100)),
    processes: Number(values.processes),
    relays: Number(values.relays),
    leasesEach: Number(values["leases-each"]),
    watchMs: Number(values["watch-ms"]),
    pauseMs: Number(values["pause-ms"]),
    beatMs: Number(values["beat-ms"]),
    openPerSecond: Number(values["open-per-second"]),
    seconds: Number(values.seconds),
  };
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isSafeInteger(size) || size < (MAY_BE_NOTHING.includes(name) ? 0 : 1))
      throw new Error(`--${name} takes a number`);
  }
  return { sizes, fault };
}

/** Where verifiers ask for their leases: at the relays, or at the server. */
async function openOrigins(
  deployment: Deployment,
  relays: number,
  cleanups: (() => unknown)[],
): Promise<{ readonly origins: readonly string[]; readonly relays: readonly number[] }> {
  const urls: string[] = [];
  const pids: number[] = [];
  for (let index = 0; index < relays; index += 1) {
    const { url, child } = await deployment.openRelay(`relay-${index}`);
    cleanups.push(() => end(child));
    urls.push(url);
    pids.push(Number(child.pid));
  }
  if (relays > 0) say(`${relays} relays`);
  return { origins: relays === 0 ? [deployment.stopUrl] : urls, relays: pids };
}

/** Opens every lease and lets them beat for a while, with what both cost. */
async function openCounted(
  deployment: Deployment,
  parts: {
    readonly sizes: Sizes;
    readonly network: Network;
    readonly cleanups: (() => unknown)[];
    readonly relays: readonly number[];
  },
): Promise<{
  readonly children: readonly ChildProcess[];
  readonly processes: Processes;
  readonly costs: LeaseCosts;
}> {
  const { relays, sizes } = parts;
  const children = forkVerifiers(parts);
  const verifiers = children.map(({ pid }) => Number(pid));
  const processes = { server: deployment.pid, relays, verifiers };
  const opening = countProcessors(processes);
  await openVerifiers(deployment, children, parts);
  const opened = opening();
  say(`${sizes.verifiers} leases`);
  const beating = countProcessors(processes);
  await sleep(BEATING_MS);
  const costs = leaseCosts(opened, { spent: beating(), beatMs: sizes.beatMs }, sizes.verifiers);
  return { children, processes, costs };
}

function forkVerifiers({
  sizes,
  cleanups,
}: {
  readonly sizes: Sizes;
  readonly cleanups: (() => unknown)[];
}): readonly ChildProcess[] {
  return Array.from({ length: sizes.processes }, (_, index) => {
    const child = fork(VERIFIERS, [`visitor-${index}`]);
    cleanups.push(() => end(child));
    return child;
  });
}

/** Each process has its share of the watched verifiers. */
async function openVerifiers(
  deployment: Deployment,
  children: readonly ChildProcess[],
  { sizes, network }: { readonly sizes: Sizes; readonly network: Network },
): Promise<void> {
  const { verifiers, processes, leasesEach, relays, beatMs, openPerSecond } = sizes;
  const opened: Promise<Answer>[] = [];
  for (const [index, child] of children.entries()) {
    const leases = share(verifiers, processes, index);
    const identities = Math.ceil(leases / leasesEach);
    const tickets = await ticketsFor(deployment, `watched-${index}`, identities);
    const spares = await ticketsFor(deployment, `spare-${index}`, SPARES + Math.ceil(identities / SPARES));
    const origins = [...network.origins(index)];
    const order = { kind: "open", tickets, spares, leases, origins, areRelays: relays > 0, beatMs } as const;
    opened.push(ask(child, { ...order, perSecond: openPerSecond / processes }));
  }
  await Promise.all(opened);
}

async function ticketsFor(deployment: Deployment, name: string, count: number): Promise<string[]> {
  const tickets: string[] = [];
  for (let one = 0; one < count; one += 1) tickets.push(await deployment.verifierTicket(`${name}-${one}`));
  return tickets;
}

/** A service with a visitor in each process. */
async function serve({ deployment, children, sizes }: Scene): Promise<void> {
  for (const [index, child] of children.entries()) {
    const serviceTicket = await deployment.verifierTicket(`service-${index}`);
    const visitorTicket = deployment.agentTicket(`visitor-${index}`);
    await ask(child, { kind: "serve", serviceTicket, visitorTicket, pauseMs: sizes.pauseMs });
  }
}

async function enrolTargets(deployment: Deployment, count: number): Promise<readonly Target[]> {
  const targets: Target[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = `target-${index}`;
    const identity = await AgentIdentity.create({ name, ticket: deployment.agentTicket(name) });
    const { agentId, instanceId, chain } = identity;
    const ids = [...chain.map((id) => id.replace(/^owner:/, "")), agentId, instanceId];
    targets.push({ instanceId, ids });
    await identity.close();
  }
  return targets;
}

async function measure(scene: Scene, { instanceId, ids }: Target): Promise<Measured> {
  const { deployment, children, sizes } = scene;
  await askAll(children, { kind: "recover" });
  await askAll(children, { kind: "watch", ids: [...ids], everyMs: sizes.watchMs });
  await sleep(Math.random() * MAX_PAUSE_MS);
  const event = await strike(scene);
  const called = process.hrtime.bigint();
  const revoked = deployment
    .revoke(instanceId)
    .then((said) => ({ ...said, answered: process.hrtime.bigint() }));
  const cutOff = event === undefined ? undefined : await outlive(scene, event);
  const { answered, acked, expired, behind_relays: behind } = await revoked;
  await sleep(AFTERMATH_MS);
  const allows = (await readReports(children, { isLast: true }))
    .flatMap(({ lastAllows }) => lastAllows)
    .filter((last) => last !== null);
  // Checks come every so often, and a busy process makes them late; a beat that was missed is longer.
  const recently = called - BigInt(2 * sizes.watchMs + AFTERMATH_MS) * BigInt(NS_PER_MS);
  return {
    answeredMs: msBetween(called, answered),
    lastAllowsMs: allows.map(({ after, until }) => Math.max(0, msBetween(called, BigInt(until ?? after)))),
    serving: allows.filter(({ after }) => BigInt(after) >= recently).length,
    acked,
    expired,
    behind,
    broken: allows.filter(({ before }) => BigInt(before) > answered).length,
    ...cutOff,
  };
}

/** What comes at one moment does so now; the call follows at any moment of the leases' ends. */
async function strike({ network, fault }: Scene): Promise<bigint | undefined> {
  if (!("lastsMs" in fault)) return undefined;
  network.strike();
  const at = process.hrtime.bigint();
  if (fault.kind === "cut") await sleep(Math.random() * MAX_PAUSE_MS);
  return at;
}

/** Waits for the end of a cut, and says how long the ones that it cut off went on, and took to come back. */
async function outlive(
  { network, fault, children }: Scene,
  struckAt: bigint,
): Promise<Pick<Measured, "cutOffMs" | "recoveredMs">> {
  if (!("lastsMs" in fault)) throw new Error("only what lasts has an end");
  await sleep(fault.lastsMs - msBetween(struckAt, process.hrtime.bigint()));
  const reports = await readReports(children, { isLast: false });
  network.heal();
  const healedAt = process.hrtime.bigint();
  const lost = reports.filter((_, index) => network.isCutOff(index)).flatMap(({ lastAllows }) => lastAllows);
  // The clock is read before a check: what allowed did so between the two.
  const cutOffMs = lost
    .filter((last) => last !== null)
    .map((last) => msBetween(struckAt, BigInt(last.before)));
  await askAll(children, { kind: "recover" });
  return { cutOffMs, recoveredMs: msBetween(healedAt, process.hrtime.bigint()) };
}

function msBetween(from: bigint, to: bigint): number {
  return Number(to - from) / NS_PER_MS;
}

async function readLoad(children: readonly ChildProcess[]): Promise<Load> {
  const reports = await readReports(children, { isLast: true });
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
  return {
    visits: sum(reports.map(({ visits }) => visits)),
    refusedVisits: sum(reports.map(({ refusedVisits }) => refusedVisits)),
    processorMs: Math.round(sum(reports.map(({ processorMs }) => processorMs))),
  };
}

async function readReports(
  children: readonly ChildProcess[],
  { isLast }: { readonly isLast: boolean },
): Promise<readonly ReportAnswer[]> {
  const answers = await askAll(children, { kind: "report", isLast });
  return answers.filter((said) => said.kind === "report");
}

function askAll(children: readonly ChildProcess[], given: Order): Promise<readonly Answer[]> {
  return Promise.all(children.map((child) => ask(child, given)));
}

/** Each order has one answer. @throws Error when the process ends instead. */
async function ask(child: ChildProcess, given: Order): Promise<Answer> {
  const settled = new AbortController();
  const { signal } = settled;
  const said = once(child, "message", { signal });
  const gone = once(child, "exit", { signal }).then(() => {
    throw new Error("a verifier process has ended");
  });
  child.send(given);
  try {
    const [message] = await Promise.race([said, gone]);
    return answer.parse(message);
  } finally {
    settled.abort();
    // Whichever lost the race is aborted, which nobody has to hear.
    await Promise.allSettled([said, gone]);
  }
}

await main();
