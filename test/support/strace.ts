/** strace beside a running process: watches its system calls on named files, or makes them fail. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";

/** Whether strace is here and may watch. */
export function hasStrace(): boolean {
  return spawnSync("strace", ["-o", "/dev/null", "true"], { stdio: "ignore" }).status === 0;
}

/** What is watched. */
export interface Watched {
  readonly pid: number;
  /** Files and directories; strace takes no pattern. */
  readonly paths: readonly string[];
  readonly syscalls: readonly string[];
  /** As strace's option `-e inject=` has it; each thread counts for itself. */
  readonly inject?: string | undefined;
  /** File that gets a line for each call. */
  readonly output: string;
}

/** Attaches to all threads of a process; resolves when it watches. @returns what resolves when the process is gone. */
export async function attachStrace(watched: Watched): Promise<{ readonly over: Promise<void> }> {
  const { pid, paths, syscalls, inject, output } = watched;
  const options = ["-f", "-o", output, "-p", String(pid), ...paths.flatMap((path) => ["-P", path])];
  const what = [
    "-e",
    `trace=${syscalls.join(",")}`,
    ...(inject === undefined ? [] : ["-e", `inject=${inject}`]),
  ];
  const watcher = spawn("strace", [...options, ...what], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  watcher.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  let isOver = false;
  const over = once(watcher, "close").then(() => {
    isOver = true;
  });
  while (!said.includes("attached")) {
    if (isOver) throw new Error(`strace does not watch: ${said}`);
    await Promise.race([once(watcher.stderr, "data"), over]);
  }
  return { over };
}
