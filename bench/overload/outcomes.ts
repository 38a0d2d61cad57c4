/**
 * `./dev bench outcomes`: how long outcomes wait for their place in the ledger when a service brings 3,000 a second.
 *
 *   node bench/overload/outcomes.ts [--rate 3000] [--seconds 4] [--connections 1] [--rounds 3]
 *
 * One `warden up` in a process of its own and one service. Decisions are asked for beforehand. Then outcomes come at the rate,
 * each signed already; a connection that is free takes what waits, 256 at most, as the SDK's spool does. An outcome
 * counts from when it is due until its request is answered, which is when it is durable in its place. The service's work shares
 * the processors, so the server's processor time for each is shown beside.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext } from "node:tls";
import { parseArgs } from "node:util";
import { MAX_OUTCOMES } from "@trustwarden/core/api/action.ts";
import { createOwner, enrolAgent, enrolVerifier, type TestInstance } from "../../test/support/actors.ts";
import type { TestServer } from "../../test/support/server.ts";
import { measure as measureProcess, NO_RATES, startWarden } from "../gateway/lab.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { percentile } from "../measure.ts";
import { end } from "../warden.ts";
import { encodeRequest, Line } from "./line.ts";
import { decideVisits } from "./visits.ts";

const TICK_MS = 10;
const MS_PER_CLOCK_TICK = 10;

const { values } = parseArgs({
  options: {
    rate: { type: "string", default: "3000" },
    seconds: { type: "string", default: "4" },
    connections: { type: "string", default: "1" },
    rounds: { type: "string", default: "3" },
  },
});
const perSecond = Number(values.rate);
const seconds = Number(values.seconds);
const connections = Number(values.connections);

/** An outcome that is due. */
interface Due {
  readonly outcome: string;
  readonly dueMs: number;
}

/** What one round came to. */
interface Round {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The server's, of all threads. */
  readonly cpuUsEach: number;
  /** Outcomes in one request, on average. */
  readonly together: number;
}

/** Brings outcomes at the rate over kept connections. */
async function bring(
  server: TestServer,
  {
    service,
    outcomes,
    cpuTicks,
  }: {
    readonly service: TestInstance;
    readonly outcomes: readonly string[];
    readonly cpuTicks: () => number;
  },
): Promise<Round> {
  const lines = await Promise.all(
    Array.from({ length: connections }, () => Line.open(server.url, createSecureContext(service.tls))),
  );
  const free = [...lines];
  const waiting: Due[] = [];
  const running = new Set<Promise<void>>();
  const tookMs: number[] = [];
  let requests = 0;
  const sendWaiting = (): void => {
    const line = waiting.length > 0 ? free.pop() : undefined;
    if (line === undefined) return;
    const together = waiting.splice(0, MAX_OUTCOMES);
    requests += 1;
    const sent = ask(line, together, tookMs).then(() => {
      free.push(line);
      running.delete(sent);
      sendWaiting();
    });
    running.add(sent);
  };
  const before = cpuTicks();
  const startedMs = performance.now();
  const each = (perSecond * TICK_MS) / 1000;
  for (let next = 0; next < outcomes.length; next += each) {
    const dueMs = startedMs + (next / each) * TICK_MS;
    await sleep(Math.max(0, dueMs - performance.now()));
    for (const outcome of outcomes.slice(next, next + each)) waiting.push({ outcome, dueMs });
    sendWaiting();
  }
  while (running.size > 0) await Promise.all(running);
  const tookSeconds = (performance.now() - startedMs) / 1000;
  for (const line of lines) line.close();
  return {
    perSecond: outcomes.length / tookSeconds,
    p50Ms: percentile(tookMs, 50),
    p99Ms: percentile(tookMs, 99),
    cpuUsEach: ((cpuTicks() - before) * MS_PER_CLOCK_TICK * 1000) / outcomes.length,
    together: outcomes.length / requests,
  };
}

async function ask(line: Line, together: readonly Due[], tookMs: number[]): Promise<void> {
  const body = JSON.stringify({ outcomes: together.map(({ outcome }) => outcome) });
  const answer = await line.ask(encodeRequest({ method: "POST", target: "/v1/outcomes", body }));
  if (answer.status !== 200) throw new Error(`outcomes were answered ${answer.status} ${answer.body}`);
  for (const { dueMs } of together) tookMs.push(performance.now() - dueMs);
}

const machine = describeMachine();
const directory = mkdtempSync(join(tmpdir(), "outcomes-"));
const children: ChildProcess[] = [];
try {
  const settings = {
    intake: NO_RATES,
    quotas: { easyAgentsPerOwnerPerMinute: 1000 },
  };
  const { child, server } = await startWarden(children, directory, { settings });
  const agent = await enrolAgent(server, await createOwner(server), { scope: ["read:transactions"] });
  const service = await enrolVerifier(server);
  const { cpuTicks } = measureProcess(child, server.url);
  const rounds: Round[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    const outcomes = await decideVisits(server, { agent, service, count: perSecond * seconds });
    rounds.push(await bring(server, { service, outcomes, cpuTicks }));
  }
  const report = { machine, versions: describeVersions(), offeredPerSecond: perSecond, connections, rounds };
  keepResult("outcomes", report);
  console.log(JSON.stringify(report, null, 2));
} finally {
  for (const child of children.toReversed()) await end(child);
  rmSync(directory, { recursive: true, force: true });
}
