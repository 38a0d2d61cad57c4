/**
 * Resident memory before and after 10,000 live instances of ours, and 10,000 registration entries of SPIRE's.
 *
 *   node bench/spire/memory.ts [--count 10000]
 *
 * The two are not the same thing, and `bench/README.md` says how they differ. Some minutes: each of our instances is enrolled with a
 * ticket and a key of its own, over a connection of its own, and recorded.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openSpire } from "../../interop/spire/lab.ts";
import { requireSpire, SPIRE_VERSION } from "../../interop/spire/tools.ts";
import { AgentIdentity } from "../../sdk/index.ts";
import { openConnection } from "../../test/workload-api-conformance/grpc.ts";
import { describeMachine } from "../machine.ts";
import { residentMib } from "../process-use.ts";
import { openDeployment } from "../revocation/deployment.ts";
import { CREATE_ENTRIES, encodeEntry } from "./sides.ts";

/** Enrolments at once. */
const LANES = 8;
/** Of one name; an owner may have 1,000 agents and 10,000 live instances. */
const INSTANCES_AN_AGENT = 1000;
const BATCH = 500;
/** For the collectors of both, and for two rounds of SPIRE's agent. */
const SETTLE_MS = 15_000;
const PATIENCE_MS = 30_000;

const { values } = parseArgs({ options: { count: { type: "string", default: "10000" } } });
const count = Number(values.count);
const folder = mkdtempSync(join(tmpdir(), "bench-memory-"));
try {
  const { cpu, cores, load } = describeMachine();
  say(`${cpu}, ${cores} cores, load ${load}; ${count} of each`);
  await measureOurs();
  await measureTheirs();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measureOurs(): Promise<void> {
  const deployment = await openDeployment(join(folder, "ours"));
  try {
    const idle = residentMib(deployment.pid);
    const numbers = Array.from({ length: count }, (_, index) => index).values();
    const lane = async (): Promise<void> => {
      for (const number of numbers) {
        const name = `agent-${Math.floor(number / INSTANCES_AN_AGENT)}`;
        const identity = await AgentIdentity.create({ name, ticket: deployment.agentTicket(name, 14_400) });
        // Lets go of the connection; the instance lives on.
        await identity.close();
      }
    };
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: LANES }, lane));
    const tookMs = performance.now() - startedMs;
    const busy = residentMib(deployment.pid);
    await sleep(SETTLE_MS);
    say(
      `TrustWarden server: ${idle} MiB idle, ${busy} MiB right after ${count} instances (${(tookMs / 1000).toFixed(0)} s), ${residentMib(deployment.pid)} MiB ${SETTLE_MS / 1000} s later`,
    );
  } finally {
    await deployment.close();
  }
}

async function measureTheirs(): Promise<void> {
  const tools = await requireSpire(join(import.meta.dirname, "..", ".."));
  const spire = await openSpire(tools, join(folder, "theirs"), {
    trustDomain: "spire.test",
    isRateLimited: false,
  });
  const administration = openConnection({ kind: "unix", path: join(folder, "theirs", "server.sock") });
  try {
    const look = () => `server ${residentMib(spire.serverPid)} MiB, agent ${residentMib(spire.agentPid)} MiB`;
    await sleep(SETTLE_MS);
    const idle = look();
    for (let first = 0; first < count; first += BATCH) {
      const entries = Array.from({ length: Math.min(BATCH, count - first) }, (_, index) =>
        // Of users that nobody is, so that each entry is one identity and none is asked for.
        encodeEntry({
          id: `memory-${first + index}`,
          path: `/team/m${first + index}`,
          selector: `uid:${100_000 + first + index}`,
        }),
      );
      const started = administration.call(CREATE_ENTRIES, Buffer.concat(entries));
      if ((await started.next(0, PATIENCE_MS)) === null) throw new Error((await started.ending).message);
      await started.ending;
    }
    await sleep(2 * SETTLE_MS);
    say(`SPIRE ${SPIRE_VERSION}: idle ${idle}; with ${count} entries ${look()}`);
  } finally {
    administration.close();
    await spire.close();
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
