/**
 * `./dev bench restore`: how long nobody has a server after a disk is lost. A backup of a filled data directory, its restore, and the
 * start of the server on it, each by the command that an operator types.
 *
 *   node bench/size/restore.ts [--keep DIRECTORY] [--owners 17000] [--agents 1500000]
 *
 * Beside the time on the clock is the processor time of each command. Needs room for the data directory twice more.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { observation } from "../observe.ts";
import { processorTicks, TICKS_PER_SECOND } from "../process-use.ts";
import { inFilledDirectory } from "./fill-directory.ts";
import { TRUST_DOMAIN } from "./founding.ts";
import type { Made } from "./generate.ts";
import { openServer, WARDEN } from "./server.ts";

/** What issue 8 asks for, from the backup to a server that verifies. */
const GOAL_SECONDS = 300;
/** The processor time of a command that has ended is what was last seen of it. */
const LOOK_MS = 100;

const { values } = parseArgs({
  options: {
    keep: { type: "string" },
    owners: { type: "string", default: "17000" },
    agents: { type: "string", default: "1500000" },
  },
});

const machine = describeMachine();
await inFilledDirectory(values, measureAll);

async function measureAll(directory: string, { agents }: Made): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "bench-restore-"));
  try {
    const file = join(scratch, "backup.tw");
    const restored = join(scratch, "restored");
    mkdirSync(restored);
    // The unseal key, the mark and the quotas outlive the disk with the data directory.
    cpSync(join(directory, "config"), join(restored, "config"), { recursive: true });
    const backup = await warden(["backup", "--plain", ...placesOf(directory), file]);
    const bytes = statSync(file).size;
    const restore = await warden(["restore", ...placesOf(restored), file]);
    const server = await openServer(restored);
    const started = { seconds: round(server.listeningSeconds), cpu_seconds: server.use().cpuSeconds };
    await server.close();
    const rto = round(restore.seconds + started.seconds);
    const report = { machine, versions: describeVersions(), agents, bytes, backup, restore, started };
    keepResult("restore", { ...report, rto_seconds: rto });
    console.log(JSON.stringify({ ...report, rto_seconds: rto, goal_seconds: GOAL_SECONDS }, null, 2));
    if (rto > GOAL_SECONDS) process.exitCode = 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Runs a command to its end. @throws Error when it was refused. */
async function warden(args: readonly string[]) {
  const observed = observation();
  const startedMs = performance.now();
  const child = spawn(process.execPath, [...observed.args, WARDEN, ...args], {
    env: { PATH: process.env.PATH, TRUSTWARDEN_TRUST_DOMAIN: TRUST_DOMAIN, ...observed.env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const exited = once(child, "exit");
  let ticks = 0;
  for (; child.exitCode === null && child.signalCode === null; await Promise.race([exited, sleep(LOOK_MS)])) {
    const { user, system } = processorTicks(child.pid ?? 0);
    ticks = Math.max(ticks, user + system);
  }
  if (child.exitCode !== 0) throw new Error(`warden ${args[0]} ended with ${child.exitCode}`);
  const seconds = round((performance.now() - startedMs) / 1000);
  return { seconds, cpu_seconds: round(ticks / TICKS_PER_SECOND) };
}

function placesOf(directory: string): readonly string[] {
  return ["--data", join(directory, "data"), "--config-dir", join(directory, "config")];
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
