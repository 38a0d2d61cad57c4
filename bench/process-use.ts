/** What Linux says of a process that is measured. Reads `/proc` alone; who has no such directory measures elsewhere. */
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks of `/proc/<pid>/stat`, on every Linux that we know. */
export const TICKS_PER_SECOND = 100;
const KIB_PER_MIB = 1024;

/** Processor time since the start of a process, in clock ticks. */
export interface ProcessorTicks {
  readonly user: number;
  readonly system: number;
}

/** Of all threads, those that have ended too. */
export function processorTicks(pid: number): ProcessorTicks {
  return ticksIn(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** Clock ticks of the threads that live, by name; those of one name together. */
export function threadTicks(pid: number): ReadonlyMap<string, number> {
  const ticks = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    const name = text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"));
    const { user, system } = ticksIn(text);
    ticks.set(name, (ticks.get(name) ?? 0) + user + system);
  }
  return ticks;
}

function ticksIn(stat: string): ProcessorTicks {
  // The name of the program stands in brackets and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[11]), system: Number(fields[12]) };
}

/** Resident memory, in MiB. */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / KIB_PER_MIB);
}
