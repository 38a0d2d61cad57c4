/** What Linux says of a process that is measured. Reads `/proc` alone; who has no such directory measures elsewhere. */
import { readFileSync } from "node:fs";

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
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name of the program stands in brackets and may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[11]), system: Number(fields[12]) };
}

/** Resident memory, in MiB. */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / KIB_PER_MIB);
}
