/** What an attack costs the server, as the system counts it. Linux only; elsewhere only the clock speaks. */
import { readFileSync } from "node:fs";

/** `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux that we run on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** Processor milliseconds that a process has used, all threads. */
export function cpuMsOf(pid: number): number {
  if (process.platform !== "linux") return 0;
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  // utime and stime are fields 14 and 15 of the line, of which the first two are cut off.
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** Resident bytes of a process. */
export function memoryOf(pid: number): number {
  if (process.platform !== "linux") return 0;
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE_BYTES;
}
