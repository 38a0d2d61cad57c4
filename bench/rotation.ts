/**
 * `./dev bench rotation`: from `warden ca rotate --force` to the last live agent under the new chain.
 *
 *   node bench/rotation.ts [--agents 1000] [--processes 4]
 *
 * The agents are in processes of their own, beside a real server, everything on loopback. Afterwards the old
 * intermediate is revoked, and every agent acts once more. Exits with 1 when the last one took longer than 60 s, or one
 * could not act. `sdk/rotation.live.test.ts` holds the rest: a planned rotation under load fails no visit.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AgentIdentity } from "../sdk/index.ts";
import { type Deployment, openDeployment } from "./revocation/deployment.ts";

const BUDGET_MS = 60_000;
/** Ends the run, whatever happens. */
const DEADLINE_MS = 240_000;
const LOOK_MS = 100;
/** Enrolments at once in one process; the server's writer is what they wait for. */
const LANES = 16;
const BUSY: ReadonlySet<string> = new Set(["overloaded", "server_unreachable"]);
const RETRY_MS = 500;
/** Longer than an SVID, so that a renewed one ends later than the one before. */
const INSTANCE_SECONDS = 14_400;

interface Agents {
  /** Milliseconds from `since` (this machine's clock) until the last agent of the process had its new SVID. */
  renewed(since: number): Promise<readonly number[]>;
  /** Agents that could act. */
  act(): Promise<number>;
  close(): Promise<void>;
}

if (process.send === undefined) await run();
else await beAgents();

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: { agents: { type: "string", default: "1000" }, processes: { type: "string", default: "4" } },
  });
  const [agents, processes] = [Number(values.agents), Number(values.processes)];
  const directory = mkdtempSync(join(tmpdir(), "tw-rotation-"));
  const deadline = setTimeout(() => process.exit(1), DEADLINE_MS);
  const deployment = await openDeployment(directory);
  try {
    await measure(deployment, { agents, processes });
  } finally {
    clearTimeout(deadline);
    await deployment.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(
  deployment: Deployment,
  { agents, processes }: { readonly agents: number; readonly processes: number },
): Promise<void> {
  const each = Math.ceil(agents / processes);
  const startedMs = performance.now();
  const groups = await Promise.all(
    Array.from({ length: processes }, (_, index) =>
      startAgents(
        Array.from({ length: each }, (_unused, number) => {
          const name = `agent-${index}-${number}`;
          return { name, ticket: deployment.agentTicket(name, INSTANCE_SECONDS) };
        }),
      ),
    ),
  );
  say(
    `${each * processes} agents in ${processes} processes enrolled in ${seconds(performance.now() - startedMs)}`,
  );
  // So that an SVID of before and one of after end in different seconds.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const since = Date.now();
  const forced = await deployment.stepAuthority({ step: "rotate", kind: "intermediate", force: true });
  const times = (await Promise.all(groups.map((group) => group.renewed(since)))).flat().sort((a, b) => a - b);
  const at = (share: number) => seconds(times[Math.ceil(times.length * share) - 1] ?? Number.NaN);
  say(`renewed: ${times.length}; p50 ${at(0.5)}, p99 ${at(0.99)}, last ${at(1)}`);
  const [old = ""] = forced.renew;
  const { elapsed_ms } = await deployment.stepAuthority({ step: "revoke", id: old });
  const acted = (await Promise.all(groups.map((group) => group.act()))).reduce(
    (sum, count) => sum + count,
    0,
  );
  say(
    `after the revocation of the old intermediate (${Math.round(elapsed_ms)} ms): ${acted} of ${times.length} agents act`,
  );
  await Promise.all(groups.map((group) => group.close()));
  const isGood =
    times.length === each * processes && (times.at(-1) ?? Number.NaN) < BUDGET_MS && acted === times.length;
  say(
    `${isGood ? "within" : "NOT within"} ${seconds(BUDGET_MS)}; ${cpus().length} cores, Node ${process.version}`,
  );
  if (!isGood) process.exitCode = 1;
}

async function startAgents(
  tickets: readonly { readonly name: string; readonly ticket: string }[],
): Promise<Agents> {
  const child = fork(import.meta.filename, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const ask = async (message: object): Promise<unknown> => {
    child.send(message);
    const [answer] = await once(child, "message");
    return answer;
  };
  await ask({ enrol: tickets });
  return {
    renewed: async (since) => Object(await ask({ since })).times,
    act: async () => Object(await ask({ act: true })).acted,
    close: async () => {
      child.disconnect();
      await once(child, "exit");
    },
  };
}

/** The child: agents that do nothing but live. */
async function beAgents(): Promise<void> {
  let agents: readonly AgentIdentity[] = [];
  let ends: readonly number[] = [];
  for await (const [message] of messages()) {
    const { enrol, since, act } = Object(message);
    if (enrol !== undefined) {
      agents = await enrolAll(enrol);
      ends = agents.map(({ svidExpiresAt }) => svidExpiresAt);
      process.send?.({ enrolled: agents.length });
    } else if (since !== undefined) {
      process.send?.({ times: await timesOfRenewal(agents, ends, since) });
    } else if (act === true) {
      process.send?.({ acted: await actAll(agents) });
    }
  }
}

async function* messages(): AsyncGenerator<readonly unknown[]> {
  const ended = once(process, "disconnect").then(() => undefined);
  for (;;) {
    const next = await Promise.race([once(process, "message"), ended]);
    if (next === undefined) return;
    yield next;
  }
}

async function enrolAll(tickets: readonly { readonly name: string; readonly ticket: string }[]) {
  const waiting = [...tickets];
  const made: AgentIdentity[] = [];
  const lane = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      made.push(await enrolPatiently(next));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return made;
}

/** A server that has too much to do, as on a machine that others use, says so, and is asked again: this is not measured. */
async function enrolPatiently(agent: {
  readonly name: string;
  readonly ticket: string;
}): Promise<AgentIdentity> {
  for (;;) {
    try {
      return await AgentIdentity.create({ ...agent });
    } catch (error) {
      if (!BUSY.has(Object(error).code)) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function actAll(agents: readonly AgentIdentity[]): Promise<number> {
  const waiting = [...agents];
  let acted = 0;
  const lane = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      await next.jwt("spiffe://bench.test/x").then(
        () => {
          acted += 1;
        },
        // Counted by its absence.
        () => undefined,
      );
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return acted;
}

async function timesOfRenewal(
  agents: readonly AgentIdentity[],
  ends: readonly number[],
  since: number,
): Promise<readonly number[]> {
  const times = new Map<number, number>();
  while (times.size < agents.length && Date.now() - since < 2 * BUDGET_MS) {
    for (const [index, agent] of agents.entries()) {
      if (!times.has(index) && agent.svidExpiresAt !== ends[index]) times.set(index, Date.now() - since);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return [...times.values()];
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
