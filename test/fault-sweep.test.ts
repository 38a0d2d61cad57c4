/** A few of the faults that `./dev torture` sweeps over, where strace can be had. */
import { expect, it } from "vitest";
import { sweepFault } from "./support/fault-sweep.ts";
import { hasStrace } from "./support/strace.ts";

const TIMEOUT_MS = 120_000;
/** The second of each: the first one comes while a new log is begun. */
const CALLS = ["openat", "write", "pwrite64", "fsync", "rename"];

it.skipIf(!hasStrace())(
  "a call on the log's files that fails stops the writer, and nothing acknowledged is lost (43)",
  { timeout: TIMEOUT_MS },
  async () => {
    for (const syscall of CALLS) await sweepFault({ syscall, fault: "EIO", index: 2 });
    expect(await sweepFault({ syscall: "fsync", fault: "ENOSPC", index: 30 })).toBeGreaterThan(0);
    expect(await sweepFault({ syscall: "rename", fault: "KILL", index: 12 })).toBeGreaterThan(0);
  },
);
