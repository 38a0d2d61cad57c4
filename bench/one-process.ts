/**
 * 1,000 sub-agents of one parent in one process, beside a real server in a process of its own: the time and memory that
 * it takes to make them, to let each act once, and to stop them all. Prints one JSON object.
 *
 *   node bench/one-process.ts [--agents 1000] [--at-once 4]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { AgentIdentity } from "../sdk/index.ts";

const WARDEN = join(import.meta.dirname, "../cli/main.ts");
const MIB = 1024 * 1024;
const { values } = parseArgs({
  options: { agents: { type: "string", default: "1000" }, "at-once": { type: "string", default: "4" } },
});
const count = Number(values.agents);
const atOnce = Number(values["at-once"]);

const root = mkdtempSync(join(tmpdir(), "one-process-"));
// An owner may have 1,000 agents unless the operator says otherwise, and the parent is one of them.
mkdirSync(join(root, "config"), { mode: 0o700 });
writeFileSync(join(root, "config", "server.json"), JSON.stringify({ quotas: { agentsPerOwner: 2 * count } }));
const directories = ["--data", join(root, "data"), "--config-dir", join(root, "config")];

/** One command; what it printed. */
async function warden(...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [WARDEN, ...args, ...directories], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let shown = "";
  child.stdout.on("data", (part) => {
    shown += part;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`warden ${args[0]} failed`);
  return shown;
}

/** Does something for each number below `count`, some at once; milliseconds of all, and of each. */
async function measure(
  work: (index: number) => Promise<unknown>,
): Promise<{ totalMs: number; p50Ms: number; p99Ms: number }> {
  const each: number[] = [];
  let next = 0;
  const began = performance.now();
  const lane = async () => {
    for (let index = next++; index < count; index = next++) {
      const at = performance.now();
      await work(index);
      each.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  const totalMs = Math.round(performance.now() - began);
  each.sort((a, b) => a - b);
  const at = (share: number) => Math.round((each[Math.floor(each.length * share)] ?? 0) * 10) / 10;
  return { totalMs, p50Ms: at(0.5), p99Ms: at(0.99) };
}

const memoryMib = () => {
  globalThis.gc?.();
  return Math.round(process.memoryUsage().rss / MIB);
};

const server = spawn(
  process.execPath,
  [
    WARDEN,
    "up",
    "--trust-domain",
    "bench.test",
    "--port",
    "0",
    "--stop-port",
    "0",
    "--log-level",
    "error",
    ...directories,
  ],
  { stdio: ["ignore", "pipe", "inherit"] },
);
try {
  const lines = createInterface({ input: server.stdout });
  for await (const line of lines) if (line.includes('"ready"')) break;
  await warden("owner", "create", "alice");
  const limits = ["--fan-out", String(count), "--ttl", "1h"];
  const made = await warden(
    "agent",
    "ticket",
    "--owner",
    "alice",
    "--name",
    "parent",
    "--scope",
    "use:tool",
    ...limits,
    "--json",
  );
  const ticket = Object.values(JSON.parse(made)).find((value) => String(value).startsWith("tw1."));
  const parent = await AgentIdentity.create({ name: "parent", ticket: String(ticket) });
  const before = memoryMib();
  const children: AgentIdentity[] = [];
  const create = await measure(async (index) =>
    children.push(await parent.spawn({ name: `child-${index}`, scope: [`use:tool:t${index}`], ttl: "30m" })),
  );
  const held = memoryMib();
  let late = 0;
  const act = await measure(async (index) => {
    const child = children[index];
    const once = () => child?.act(child.scope[0] ?? "", "tool:t", null, async () => index);
    await once()?.catch((error: unknown) => {
      // A busy machine decided too late, and nothing was done.
      if (Object(error).code !== "lease_expired") throw error;
      late += 1;
      return once();
    });
  });
  const acted = memoryMib();
  const distinct = new Set(children.map(({ id }) => id)).size;
  if (distinct !== count) throw new Error("two sub-agents share an id");
  const at = performance.now();
  await parent.revoke("the bench is over");
  const stopMs = Math.round(performance.now() - at);
  const refused = await measure(async (index) => {
    const child = children[index];
    const isRefused = await child
      ?.act(child.scope[0] ?? "", "tool:t", null, async () => index)
      .then(
        () => false,
        () => true,
      );
    if (isRefused !== true) throw new Error("a stopped sub-agent acted");
  });
  const memory = {
    beforeMib: before,
    heldMib: held,
    actedMib: acted,
    kibEach: Math.round(((acted - before) * 1024) / count),
  };
  console.log(JSON.stringify({ agents: count, atOnce, create, act, late, stopMs, refused, memory }, null, 2));
  await Promise.all(children.map((child) => child.close()));
} finally {
  server.kill();
  rmSync(root, { recursive: true, force: true });
}
process.exit();
