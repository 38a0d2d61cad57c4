/**
 * The two facts of `/proc/<pid>/stat` that we need, from text that the process itself can shape in part.
 *
 * The second field is the program's name in brackets, and a program may call itself `) R 1 (`: so the fields count from
 * the *last* bracket.
 *
 * @see proc_pid_stat(5)
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Fields after the name, counted from `state`, which is field 3. */
const STATE_INDEX = 0;
const START_TIME_INDEX = 22 - 3;

/** What tells one process from the next one with its number. */
export interface ProcessStat {
  /** One letter, such as `R`, or `Z` for one that has ended. */
  readonly state: string;
  /** Clock ticks after the start of the machine, as text: it may be longer than a number holds exactly. */
  readonly startTime: string;
}

/** @throws TrustWardenError `workload_unattested` for anything that the kernel does not write. */
export function parseProcessStat(text: string): ProcessStat {
  const end = text.lastIndexOf(")");
  const fields =
    end === -1
      ? []
      : text
          .slice(end + 1)
          .trim()
          .split(" ");
  const state = fields[STATE_INDEX];
  const startTime = fields[START_TIME_INDEX];
  if (
    state === undefined ||
    startTime === undefined ||
    !/^[A-Za-z]$/.test(state) ||
    !/^\d{1,20}$/.test(startTime)
  )
    throw new TrustWardenError("workload_unattested", { reason: "stat" });
  return { state, startTime };
}
