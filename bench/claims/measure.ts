/** Runs the benchmarks of the report one after the other, each for so long and no longer. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ResultName } from "../keep.ts";

const DEV = join(import.meta.dirname, "..", "..", "dev");
/** The largest of the quick forms takes about two minutes on two quiet cores. */
const QUICK_LIMIT_SECONDS = 240;
const LIMIT_SECONDS = 3600;

/** What comes behind `./dev bench`; the quick form says less and is done in a minute or two. */
const ARGUMENTS: Readonly<Record<ResultName, { readonly full: string; readonly quick: string }>> = {
  report: { full: "", quick: "--quick" },
  spire: { full: "spire", quick: "spire --quick" },
  tessera: { full: "tessera", quick: "tessera --quick" },
  opa: { full: "opa", quick: "opa --quick" },
  gateway: { full: "gateway", quick: "gateway --quick" },
  revocation: {
    full: "revocation --verifiers 1000 --watch-ms 5",
    quick: "revocation --verifiers 300 --relays 2 --revokes 20 --leases-each 50 --watch-ms 10",
  },
  overload: { full: "overload", quick: "overload --seconds 3 --connections 100" },
  outcomes: { full: "outcomes", quick: "outcomes --rounds 1" },
  questions: { full: "questions", quick: "questions --events 200000 --pages 50 --rebuild 5000" },
  restore: { full: "restore", quick: "restore --owners 500 --agents 5000" },
  console: { full: "console", quick: "console --owners 500 --agents 5000 --loads 3 --seconds 5" },
  size: { full: "size", quick: "size --owners 500 --agents 5000 --seconds 10 --warm-up 500" },
};

/** These measure the same filled store, which the first of them fills. */
const FILLED: ReadonlySet<ResultName> = new Set(["size", "restore", "console"]);

/** @returns the names of those that did not come to their end. */
export async function measureAll(names: readonly ResultName[], isQuick: boolean): Promise<readonly string[]> {
  const failed: string[] = [];
  const store = mkdtempSync(join(tmpdir(), "bench-store-"));
  try {
    for (const name of names) {
      const { full, quick } = ARGUMENTS[name];
      const words = (isQuick ? quick : full).split(" ").filter((word) => word !== "");
      const args = FILLED.has(name) ? [...words, "--keep", store] : words;
      if (!(await measureOne(args, isQuick ? QUICK_LIMIT_SECONDS : LIMIT_SECONDS))) failed.push(name);
    }
  } finally {
    rmSync(store, { recursive: true, force: true });
  }
  return failed;
}

/** Whether it came to its end. */
async function measureOne(args: readonly string[], limitSeconds: number): Promise<boolean> {
  const startedMs = performance.now();
  const isDone = await run(args, limitSeconds);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  console.log(`${isDone ? "done" : "FAILED"}: ./dev bench ${args.join(" ")} (${seconds} s)`);
  return isDone;
}

/** With everything that it started, which is a group of processes of its own. */
async function run(args: readonly string[], limitSeconds: number): Promise<boolean> {
  const child = spawn(DEV, ["bench", ...args], { stdio: ["ignore", "ignore", "inherit"], detached: true });
  const limit = setTimeout(() => killGroup(child.pid), limitSeconds * 1000);
  const [code] = await once(child, "exit");
  clearTimeout(limit);
  if (code !== 0) killGroup(child.pid);
  return code === 0;
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody of it is left.
  }
}
