/**
 * `./dev bench size`: Moltbook's size on this machine. Start, renewals over nodes' kept connections, memory, the stop of a
 * large subtree, and pages of agents, on a data directory that `fill.ts` made (or that is made here).
 *
 *   node bench/size/run.ts [--keep DIRECTORY] [--owners 17000] [--agents 1500000] [--rate 833] [--seconds 30] [--nodes 20]
 *
 * Wall time says little on a machine that others use; the processor time of the server's process is beside it. The form of ten
 * minutes is `--seconds 600`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { createRawVerification } from "../raw-key.ts";
import { summarise } from "../revocation/statistics.ts";
import { inFilledDirectory } from "./fill-directory.ts";
import type { Made } from "./generate.ts";
import type { NodesOrder, NodesReport } from "./nodes.ts";
import { type LargeServer, openServer, type Use } from "./server.ts";

const NODES = join(import.meta.dirname, "nodes.ts");
const PAGES = 50;
const YARDSTICK_VERIFICATIONS = 50;
const YARDSTICK_BYTES = 600;
const YARDSTICK_EVERY_MS = 250;

const { values } = parseArgs({
  options: {
    keep: { type: "string" },
    owners: { type: "string", default: "17000" },
    agents: { type: "string", default: "1500000" },
    nodes: { type: "string", default: "20" },
    instances: { type: "string", default: "50" },
    rate: { type: "string", default: "833" },
    seconds: { type: "string", default: "30" },
    together: { type: "string", default: "16" },
    "warm-up": { type: "string", default: "3000" },
    "no-stop": { type: "boolean", default: false },
  },
});

const machine = describeMachine();
await inFilledDirectory(values, measureAll);

async function measureAll(directory: string, made: Made): Promise<void> {
  const server = await openServer(directory);
  try {
    const started = await measureStart(server);
    const pages = await measurePages(server, made);
    const renewals = await measureRenewals(server);
    const stops = values["no-stop"] ? [] : await measureStops(server, made);
    const atEnd = server.use();
    const report = {
      machine,
      versions: describeVersions(),
      agents: made.agents,
      started,
      pages,
      renewals,
      stops,
      rss_mib: atEnd.rssMib,
    };
    keepResult("size", report);
    console.log(JSON.stringify(report, null, 2));
  } finally {
    await server.close();
  }
}

/** A durable command is what issuing is made of. */
async function measureStart(server: LargeServer) {
  const listening = server.use();
  const startedMs = performance.now();
  await server.ask("POST", "/v1/verifier-tickets", { name: "first", ttl_seconds: 600 });
  return {
    listening_seconds: round(server.listeningSeconds),
    cpu_seconds: listening.cpuSeconds,
    first_issue_ms: round(performance.now() - startedMs),
    rss_mib: listening.rssMib,
  };
}

async function measurePages(server: LargeServer, made: Made) {
  const { agents } = Object(await server.ask("GET", `/v1/agents?limit=50`));
  const owner: string = agents[0].owner_id;
  const large: { readonly owner_id: string } = Object(
    await server.ask("GET", `/v1/agents/${made.largest[0]?.agentId ?? ""}`),
  );
  const questions = {
    first_page: () => "/v1/agents?limit=50",
    page_of_owner: () => `/v1/agents?limit=50&owner=${owner}`,
    page_of_largest_owner: () => `/v1/agents?limit=50&owner=${large.owner_id}`,
    by_name: () => "/v1/agents?limit=50&name=agent-7",
    by_rare_name: () => "/v1/agents?limit=50&name=agent-9999",
    one_agent: () => `/v1/agents/${made.largest[0]?.agentId ?? ""}`,
    owners: () => "/v1/owners",
    status: () => "/v1/status",
  };
  const measured: Record<string, unknown> = {};
  for (const [name, path] of Object.entries(questions)) {
    const times: number[] = [];
    const before = server.use().cpuSeconds;
    for (let page = 0; page < PAGES && times.reduce((sum, ms) => sum + ms, 0) < 10_000; page += 1) {
      const startedMs = performance.now();
      await server.ask("GET", path());
      times.push(performance.now() - startedMs);
    }
    const cpu = ((server.use().cpuSeconds - before) / times.length) * 1000;
    measured[name] = { ...summarise(times), cpu_ms: round(cpu) };
  }
  return measured;
}

async function measureRenewals(server: LargeServer) {
  const tokens: string[] = [];
  for (let at = 0; at < Number(values.nodes); at += 1) {
    const { token } = Object(
      await server.ask("POST", "/v1/join-tokens", { name: `node-${at}`, ttl_seconds: 600 }),
    );
    tokens.push(token);
  }
  const order: NodesOrder = {
    tokens,
    instances: Number(values.instances),
    rate: Number(values.rate),
    together: Number(values.together),
    seconds: Number(values.seconds),
    warmUp: Number(values["warm-up"]),
  };
  const child = spawn(process.execPath, [NODES], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.write(`${JSON.stringify(order)}\n`);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  await lines.next();
  const before = server.use();
  const exited = once(child, "exit");
  const yardstick = startYardstick();
  const { value } = await lines.next();
  const after = server.use();
  const rawUs = yardstick.stop();
  await exited;
  const { times, ...report }: NodesReport = JSON.parse(String(value));
  const cpu = after.cpuSeconds - before.cpuSeconds;
  return {
    ...report,
    per_second: round(report.renewed / report.seconds),
    ...summarise(times),
    server_cpu_seconds: round(cpu),
    server_cpu_ms_each: round((cpu / report.renewed) * 1000),
    server_cpu_ms_by_thread: byThread(before, after, report.renewed),
    system_share: round((after.systemSeconds - before.systemSeconds) / cpu),
    raw_verification_us: round(rawUs),
    raw_verifications_each: round(((cpu / report.renewed) * 1e6) / rawUs),
    share_of_machine_at_833: round(((cpu / report.renewed) * 833) / machine.cores),
    rss_mib: after.rssMib,
  };
}

/** Milliseconds of each thread that took more than a hundredth of one, for each renewal. */
function byThread(before: Use, after: Use, renewed: number): Readonly<Record<string, number>> {
  const each = [...after.threads].map(([name, seconds]): [string, number] => [
    name,
    round(((seconds - (before.threads.get(name) ?? 0)) / renewed) * 1000),
  ]);
  return Object.fromEntries(each.filter(([, ms]) => ms > 0).sort(([, one], [, other]) => other - one));
}

/**
 * What one raw P-256 verification costs in processor time meanwhile: caches and cores that others use make everything dearer,
 * so that only the ratio to it can be compared between runs.
 */
function startYardstick(): { readonly stop: () => number } {
  const verifyAll = createRawVerification(YARDSTICK_VERIFICATIONS, YARDSTICK_BYTES);
  let spentUs = 0;
  let done = 0;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage();
    verifyAll();
    const after = process.cpuUsage();
    spentUs += after.user + after.system - user - system;
    done += YARDSTICK_VERIFICATIONS;
  }, YARDSTICK_EVERY_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return spentUs / done;
    },
  };
}

async function measureStops(server: LargeServer, made: Made) {
  const stops: unknown[] = [];
  const trees = made.largest.filter(({ descendants }) => descendants >= 10_000).slice(-1);
  for (const { agentId, descendants } of [...trees, ...made.largest.slice(-2)]) {
    const before = server.use().cpuSeconds;
    const startedMs = performance.now();
    const answer = Object(
      await server.ask("POST", "/v1/revocations", {
        target: { kind: "agent", id: agentId },
        reason: "bench",
      }),
    );
    stops.push({
      descendants,
      instances: answer.instances,
      ms: round(performance.now() - startedMs),
      cpu_ms: round((server.use().cpuSeconds - before) * 1000),
    });
  }
  return stops;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
