/**
 * `./dev bench cost`: what one guarded call and one call through the gateway are made of, operation by operation, and how
 * much processor time each process spends on one, and what it leaves in the ledger. Counts do not depend on what else the machine
 * does; times do.
 *
 *   node bench/cost/run.ts [--calls 400] [--only guard|gateway]
 *
 * Linux only: it asks /proc for processor time.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { AgentIdentity } from "trustwarden";
import { Pool } from "undici";
import { openGatewayLab } from "../gateway/lab.ts";
import { callGuarded } from "../guard-bench.ts";
import { openLab } from "../lab.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { repeat } from "../measure.ts";
import { type Counted, takeCounts } from "./count.ts";
import { measureStored } from "./stored.ts";

type Counts = Readonly<Record<string, Counted>>;

const NS_PER_US = 1000;
const WARM_UP = 300;
const CHAT = { model: "gpt-test", messages: [{ role: "user", content: "hello #words=20" }] };

const { values } = parseArgs({
  options: { calls: { type: "string", default: "400" }, only: { type: "string" } },
});
const calls = Number(values.calls);
const directory = mkdtempSync(join(tmpdir(), "bench-cost-"));
process.env.TRUSTWARDEN_BENCH_COUNTS = directory;
const { cpu, cores, os, load } = describeMachine();
process.stdout.write(`${cpu}, ${cores} cores, ${os}; load ${load}\n${JSON.stringify(describeVersions())}\n`);
try {
  if (values.only !== "gateway") await guarded();
  if (values.only !== "guard") await throughGateway();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function guarded(): Promise<void> {
  const lab = await openLab(join(directory, "guard"));
  const address = await lab.startService();
  const identity = await AgentIdentity.create({
    name: "payment-agent",
    ticket: lab.ticket("payment-agent"),
  });
  const call = () => callGuarded(identity, address.guarded);
  await measure("one guarded read of class C", call);
  const operations = { "guarded call": call, renewal: () => identity.renew() };
  for (const [what, run] of Object.entries(operations)) {
    const target = join(directory, what);
    const { entries, bytes } = await measureStored(lab, { directory: target, run, runs: calls });
    process.stdout.write(
      `  a ${what} leaves ${entries.toFixed(2)} entries and ${Math.round(bytes)} bytes in the ledger\n`,
    );
  }
  await identity.close();
  await lab.close();
}

async function throughGateway(): Promise<void> {
  const lab = await openGatewayLab(join(directory, "gateway"));
  const { url } = lab.gateway;
  const pool = new Pool(url, { connections: 1, connect: { ...lab.agent.tls, rejectUnauthorized: false } });
  const requests = [...(await lab.sign(WARM_UP + calls, CHAT))];
  const call = async () => {
    const { target = "", headers = {}, body = null } = requests.pop() ?? {};
    const answer = await pool.request({ path: target, method: "POST", headers: { ...headers }, body });
    if (answer.statusCode !== 200) throw new Error(`the gateway answered ${answer.statusCode}`);
    await answer.body.text();
  };
  await measure("one model call through the gateway, class C", call);
  await pool.destroy();
  await lab.close();
}

async function measure(what: string, call: () => Promise<void>): Promise<void> {
  await repeat(call, { runs: WARM_UP, atOnce: 1 });
  const pids = childrenOf();
  const before = new Map(pids.map((pid) => [pid, cpuUs(pid)]));
  await countsOf(pids);
  takeCounts();
  await repeat(call, { runs: calls, atOnce: 1 });
  const own = takeCounts();
  const counts = await countsOf(pids);
  process.stdout.write(`\n${what}, ${calls} in a row\n`);
  print(`this process (the agent)`, own, undefined);
  for (const pid of pids) {
    const spent = (cpuUs(pid) - (before.get(pid) ?? 0)) / calls;
    print(nameOf(pid), counts.get(pid) ?? {}, spent);
  }
}

function print(name: string, counts: Counts, cpu: number | undefined): void {
  const spent = cpu === undefined ? "" : `, ${Math.round(cpu)} us of processor a call over all threads`;
  process.stdout.write(`  ${name}${spent}\n`);
  const rows = Object.entries(counts).filter(([, { count }]) => count / calls >= 0.05);
  for (const [operation, { count, medianUs }] of rows.sort(([one], [other]) => (one < other ? -1 : 1))) {
    const each = count / calls;
    const cells = [
      each.toFixed(2).padStart(7),
      operation.padEnd(32),
      `${medianUs.toFixed(1)} us`.padStart(10),
    ];
    process.stdout.write(`    ${cells.join("  ")}${`${(each * medianUs).toFixed(0)} us`.padStart(10)}\n`);
  }
}

/** Asks each process for its counts, which it then begins anew. */
async function countsOf(pids: readonly number[]): Promise<ReadonlyMap<number, Counts>> {
  const found = new Map<number, Counts>();
  for (const pid of pids) {
    const file = join(directory, `${pid}.json`);
    rmSync(file, { force: true });
    process.kill(pid, "SIGUSR2");
    while (!existsSync(file) || readFileSync(file, "utf8") === "") await sleep(5);
    found.set(pid, JSON.parse(readFileSync(file, "utf8")));
  }
  return found;
}

function childrenOf(): readonly number[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ").map(Number);
}

/** Of all threads, microseconds. */
function cpuUs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
    const [ns = "0"] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    return sum + Number(ns) / NS_PER_US;
  }, 0);
}

function nameOf(pid: number): string {
  const program = readFileSync(`/proc/${pid}/cmdline`, "utf8")
    .split("\0")
    .find((part) => part.endsWith(".ts") && !part.endsWith("count.ts"));
  return program?.split("/").slice(-2).join("/") ?? "unknown";
}
