/**
 * How long after the call to revoke does anybody still allow? A real server, 100 verifiers in four processes, each
 * process busy with guarded visits, and 100 revocations one after the other.
 *
 *   node bench/revocation/run.ts [--verifiers 100] [--revokes 100] [--processes 4]
 *     [--relays 0] [--leases-each 1] [--watch-ms 1] [--seconds 170]
 *
 * With relays the verifiers are behind them. `--leases-each` gives each identity that many leases; `--watch-ms` is how
 * exactly the last allow is known, and what the watching costs. For 10,000 verifiers behind relays, alone on a machine:
 *
 *   ./dev bench revocation --verifiers 10000 --relays 10 --processes 8 --leases-each 50 --watch-ms 25 --revokes 30 --seconds 580
 *
 * Prints a table and writes `.cache/bench/revocation.json` and `.svg`. Nothing is asserted about time. An allow after
 * the server said that everybody stopped is a broken promise, not a slow one, and makes the run fail.
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
import { type Answer, answer, type Order } from "./messages.ts";
import { type Load, type Measured, report, type Sizes } from "./report.ts";

const VERIFIERS = join(import.meta.dirname, "verifiers.ts");
/** Revocations come at any moment of the verifiers' beats. */
const MAX_PAUSE_MS = 200;
/** After the answer the verifiers are watched a little longer: somebody might allow again. */
const AFTERMATH_MS = 100;
const NS_PER_MS = 1e6;

interface Target {
  readonly instanceId: string;
  readonly ids: readonly string[];
}

async function main(): Promise<void> {
  const sizes = readSizes();
  const startedMs = performance.now();
  const directory = mkdtempSync(join(tmpdir(), "tw-revocation-"));
  const children: ChildProcess[] = [];
  const relays: { readonly url: string; readonly child: ChildProcess }[] = [];
  const deployment = await openDeployment(directory);
  try {
    const machine = describeMachine();
    for (let index = 0; index < sizes.relays; index += 1)
      relays.push(await deployment.openRelay(`relay-${index}`));
    const origins = relays.map(({ url }) => url);
    for (const child of await openVerifiers(deployment, sizes, origins)) children.push(child);
    const targets = await enrolTargets(deployment, sizes.revokes);
    const measured: Measured[] = [];
    const loadStartedMs = performance.now();
    for (const target of targets) {
      if (performance.now() - startedMs > sizes.seconds * 1000) break;
      measured.push(await measure(deployment, children, target, sizes.watchMs));
    }
    const load = await readLoad(children);
    const seconds = (performance.now() - loadStartedMs) / 1000;
    const isKept = report({ machine, sizes, measured, load, seconds });
    if (!isKept) process.exitCode = 1;
  } finally {
    for (const child of children) await end(child);
    for (const { child } of relays) await end(child);
    await deployment.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function readSizes(): Sizes {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      verifiers: text,
      revokes: text,
      processes: text,
      relays: text,
      "leases-each": text,
      "watch-ms": text,
      seconds: text,
    },
  });
  const sizes = {
    verifiers: Number(values.verifiers ?? 100),
    revokes: Number(values.revokes ?? 100),
    processes: Number(values.processes ?? 4),
    relays: Number(values.relays ?? 0),
    leasesEach: Number(values["leases-each"] ?? 1),
    watchMs: Number(values["watch-ms"] ?? 1),
    // What was measured until then is reported.
    seconds: Number(values.seconds ?? 170),
  };
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isSafeInteger(size) || size < (name === "relays" ? 0 : 1))
      throw new Error(`--${name} takes a number from 1`);
  }
  return sizes;
}

/** Each process has its share of the watched verifiers, and a service with a visitor besides. */
async function openVerifiers(
  deployment: Deployment,
  { verifiers, processes, leasesEach }: Sizes,
  relays: readonly string[],
): Promise<ChildProcess[]> {
  const children: ChildProcess[] = [];
  for (let index = 0; index < processes; index += 1) {
    const share = Math.floor(verifiers / processes) + (index < verifiers % processes ? 1 : 0);
    const name = `visitor-${index}`;
    const child = fork(VERIFIERS, [name]);
    children.push(child);
    const tickets: string[] = [];
    for (let one = 0; one < Math.ceil(share / leasesEach); one += 1) {
      tickets.push(await deployment.verifierTicket(`watched-${index}-${one}`));
    }
    const serviceTicket = await deployment.verifierTicket(`service-${index}`);
    const visitorTicket = deployment.agentTicket(name);
    await ask(child, {
      kind: "open",
      tickets,
      leasesEach,
      relays: [...relays],
      serviceTicket,
      visitorTicket,
    });
  }
  return children;
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

async function measure(
  deployment: Deployment,
  children: readonly ChildProcess[],
  { instanceId, ids }: Target,
  everyMs: number,
): Promise<Measured> {
  await askAll(children, { kind: "watch", ids: [...ids], everyMs });
  await sleep(Math.random() * MAX_PAUSE_MS);
  const called = process.hrtime.bigint();
  const { acked, expired, behind_relays: behind } = await deployment.revoke(instanceId);
  const answered = process.hrtime.bigint();
  await sleep(AFTERMATH_MS);
  const reports = (await askAll(children, { kind: "report" })).flatMap((said) =>
    said.kind === "report" ? said.lastAllows : [],
  );
  const allows = reports.filter((last) => last !== null);
  return {
    answeredMs: Number(answered - called) / NS_PER_MS,
    lastAllowsMs: allows.map(({ after }) => Math.max(0, Number(BigInt(after) - called) / NS_PER_MS)),
    acked,
    expired,
    behind,
    broken: allows.filter(({ before }) => BigInt(before) > answered).length,
  };
}

async function readLoad(children: readonly ChildProcess[]): Promise<Load> {
  const reports = (await askAll(children, { kind: "report" })).filter((said) => said.kind === "report");
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
  return {
    visits: sum(reports.map(({ visits }) => visits)),
    refusedVisits: sum(reports.map(({ refusedVisits }) => refusedVisits)),
  };
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
