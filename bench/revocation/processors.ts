/**
 * Who had the processors while leases were opened, while they only beat, and while somebody was stopped: the server, the relays, the
 * verifiers' processes, and everybody else on the machine. A figure of two cores says little without it.
 */
import { readFileSync } from "node:fs";
import { processorTicks, TICKS_PER_SECOND } from "../process-use.ts";

const MS_PER_TICK = 1000 / TICKS_PER_SECOND;
const US_PER_MS = 1000;
/** In `/proc/stat`, of the numbers behind `cpu`: idle, waiting for a disk, and guests, which are counted as user time too. */
const NOT_BUSY = [3, 4, 8, 9];

/** Processes of a run, by what they do. */
export interface Processes {
  readonly server: number;
  readonly relays: readonly number[];
  readonly verifiers: readonly number[];
}

/** Milliseconds of processor; `others` is everything that does not belong to the run. */
export interface Spent {
  readonly wallMs: number;
  readonly serverMs: number;
  readonly relaysMs: number;
  readonly verifiersMs: number;
  readonly othersMs: number;
}

/** What one lease costs. */
export interface LeaseCosts {
  /** At both ends together, enrolment's part left in. */
  readonly opened_ms: number;
  /** One beat and its echo, at whoever gives the lease and at the verifier. */
  readonly beat_us: { readonly giver: number; readonly verifier: number };
}

/** Begins to count. @returns what was spent since. */
export function countProcessors(processes: Processes): () => Spent {
  const begun = read(processes);
  return () => {
    const now = read(processes);
    const [serverMs, relaysMs, verifiersMs] = [
      now.serverMs - begun.serverMs,
      now.relaysMs - begun.relaysMs,
      now.verifiersMs - begun.verifiersMs,
    ];
    const othersMs = Math.max(0, now.machineMs - begun.machineMs - serverMs - relaysMs - verifiersMs);
    return { wallMs: Math.round(now.atMs - begun.atMs), serverMs, relaysMs, verifiersMs, othersMs };
  };
}

/** @param beating.spent - while verifiers beat and did nothing else. */
export function leaseCosts(
  opening: Spent,
  beating: { readonly spent: Spent; readonly beatMs: number },
  verifiers: number,
): LeaseCosts {
  const { serverMs, relaysMs, verifiersMs, wallMs } = beating.spent;
  const beats = verifiers * (wallMs / beating.beatMs);
  const each = (ms: number) => Math.round((US_PER_MS * ms) / beats);
  const openedMs = (opening.serverMs + opening.relaysMs + opening.verifiersMs) / verifiers;
  return {
    opened_ms: Math.round(openedMs * 100) / 100,
    beat_us: { giver: each(serverMs + relaysMs), verifier: each(verifiersMs) },
  };
}

/** Of all cores, one each hundred percent. */
export function formatSpent({ wallMs, serverMs, relaysMs, verifiersMs, othersMs }: Spent): string {
  const cores = (ms: number) => (ms / wallMs).toFixed(2);
  return `server ${cores(serverMs)}, relays ${cores(relaysMs)}, verifiers ${cores(verifiersMs)}, everybody else on the machine ${cores(othersMs)} cores`;
}

function read({ server, relays, verifiers }: Processes) {
  return {
    atMs: performance.now(),
    serverMs: sumMs([server]),
    relaysMs: sumMs(relays),
    verifiersMs: sumMs(verifiers),
    machineMs: readMachineMs(),
  };
}

function sumMs(pids: readonly number[]): number {
  return pids.map(processorTicks).reduce((all, { user, system }) => all + (user + system) * MS_PER_TICK, 0);
}

/** Busy time of all cores since the machine started. */
function readMachineMs(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const ticks = line.split(/\s+/).slice(1).map(Number);
  return ticks.reduce((all, one, index) => (NOT_BUSY.includes(index) ? all : all + one * MS_PER_TICK), 0);
}
