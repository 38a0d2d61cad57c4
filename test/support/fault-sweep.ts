/**
 * A disk that fails, one system call at a time: strace gives a writer of the ledger a write that fails, a disk that is
 * full, or its death, at the n-th call of each kind on the log's own files, for every n.
 *
 * After each: everything acknowledged is there, nothing is there half or twice, the log verifies, and the writer has
 * stopped. A call that a run does not come by is an error, so that nothing is swept past.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogPlace } from "../../server/store/log-place.test.support.ts";
import { auditPlace, spawnWriter } from "../../server/store/log-writer-process.test.support.ts";
import { attachStrace } from "./strace.ts";

/** What the storage does to files; `fdatasync` and `ftruncate` are watched for, and not called by it. */
const SYSCALLS = [
  "openat",
  "write",
  "pwrite64",
  "fsync",
  "fdatasync",
  "rename",
  "link",
  "unlink",
  "mkdir",
  "ftruncate",
] as const;
const FAULT_NAMES = ["EIO", "ENOSPC", "KILL"] as const;
const FAULTS = { EIO: "error=EIO", ENOSPC: "error=ENOSPC", KILL: "signal=KILL" } as const;
/** Node asks for a directory that may be there, and looks whether it is when that fails: nothing was to be written. */
const HARMLESS: readonly string[] = ["mkdir"];
/** More than the fixed piece of work needs. */
const MAX_TEMPORARIES = 60;
const MAX_WIDTHS = 260;

/** One fault of one run. */
export interface PlannedFault {
  readonly syscall: string;
  readonly fault: keyof typeof FAULTS;
  /** The call that fails, from 1. */
  readonly index: number;
}

/** All faults that a writer with a fixed piece of work can meet. */
export async function planFaults(): Promise<readonly PlannedFault[]> {
  const { calls, exit } = await runWriter(undefined, {});
  assert.equal(exit, 0, "without a fault the work is done");
  const planned = SYSCALLS.flatMap((syscall) =>
    Array.from({ length: calls.get(syscall) ?? 0 }, (_, at) => at + 1).flatMap((index) =>
      FAULT_NAMES.map((fault) => ({ syscall, fault, index })),
    ),
  );
  assert.ok(planned.length > 100, "the writer's calls are seen");
  return planned;
}

/**
 * Lets a writer meet one fault. Throws for whatever does not hold.
 *
 * @param options.node - further options of its Node, such as a hook that weakens it.
 * @returns entries of the log after the next start.
 */
export async function sweepFault(
  fault: PlannedFault,
  options: { readonly node?: readonly string[] } = {},
): Promise<number> {
  const { exit, writer, place, remove, isInjected } = await runWriter(fault, options);
  try {
    assert.ok(isInjected, "the call was never reached");
    if (fault.fault === "KILL") assert.equal(exit, "SIGKILL");
    else if (exit !== 0 || !HARMLESS.includes(fault.syscall))
      assert.ok(exit === 3 || exit === 4, `the writer did not stop: ${exit} ${writer.errors()}`);
    return await auditPlace(place, writer.acknowledged);
  } finally {
    remove();
  }
}

async function runWriter(
  fault: PlannedFault | undefined,
  { node = [] }: { readonly node?: readonly string[] },
) {
  const folder = mkdtempSync(join(tmpdir(), "fault-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const place: LogPlace = {
    origin: "ledger.acme.test/2026q4",
    directory: join(folder, "data", "log"),
    mark: join(folder, "config", "mark"),
  };
  // One thread does the file work, so that the n-th call is the same in every run.
  const writer = spawnWriter(place, {
    run: "swept",
    work: "fixed",
    node,
    environment: { UV_THREADPOOL_SIZE: "1" },
  });
  const trace = join(folder, "trace");
  // Attached only now, so that the loading of programs is neither counted nor disturbed.
  await writer.said("ready");
  const watcher = await attachStrace({
    pid: writer.child.pid ?? 0,
    paths: pathsOf(place),
    syscalls: SYSCALLS,
    inject: fault && `${fault.syscall}:${FAULTS[fault.fault]}:when=${fault.index}`,
    output: trace,
  });
  writer.child.stdin?.write("go\n");
  const exit = await writer.ended;
  await watcher.over;
  const lines = readFileSync(trace, "utf8").split("\n");
  const isInjected =
    lines.some((line) => line.includes("INJECTED")) || (fault?.fault === "KILL" && exit === "SIGKILL");
  if (fault === undefined) remove();
  return { exit, writer, place, remove, isInjected, calls: countCalls(lines) };
}

/** Of the thread that does most. */
function countCalls(lines: readonly string[]): ReadonlyMap<string, number> {
  const byThread = new Map<string, number>();
  const most = new Map<string, number>();
  for (const line of lines) {
    const [, thread, syscall] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || syscall === undefined) continue;
    const count = (byThread.get(`${thread} ${syscall}`) ?? 0) + 1;
    byThread.set(`${thread} ${syscall}`, count);
    most.set(syscall, Math.max(count, most.get(syscall) ?? 0));
  }
  return most;
}

/** Every file and directory of a log that the fixed piece of work comes by: strace takes no pattern. */
function pathsOf({ directory, mark }: LogPlace): readonly string[] {
  const inside = (...parts: readonly string[]) => join(directory, ...parts);
  const numbered = Array.from({ length: MAX_TEMPORARIES }, (_, at) => inside("tmp", String(at + 1)));
  const segments = [1, 2, 3].map((at) => inside("wal", `${String(at).padStart(12, "0")}.wal`));
  const levels = ["0", "1", "entries"].flatMap((level) =>
    ["000", "001"].flatMap((tile) => [
      inside("tile", level, tile),
      inside("tile", level, `${tile}.p`),
      ...Array.from({ length: MAX_WIDTHS }, (_, width) => width).flatMap((width) =>
        width < 6 || width > 250 ? [inside("tile", level, `${tile}.p`, String(width))] : [],
      ),
    ]),
  );
  const directories = ["", "wal", "tmp", "tile", "tile/0", "tile/1", "tile/entries"].map((name) =>
    inside(name),
  );
  const files = ["state.json", "checkpoint", "tmp/state", "tmp/checkpoint"].map((name) => inside(name));
  const marks = [mark, `${mark}.tmp`, join(mark, "..")];
  return [...directories, ...files, ...numbered, ...segments, ...levels, ...marks];
}
