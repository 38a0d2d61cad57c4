/** A server in a process of its own on a large data directory, and what the system counts of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { observation } from "../observe.ts";
import { processorTicks, residentMib, TICKS_PER_SECOND, threadTicks } from "../process-use.ts";
import { askOperator, end } from "../warden.ts";
import { QUOTAS, TRUST_DOMAIN } from "./founding.ts";

/** The command. */
export const WARDEN = join(import.meta.dirname, "..", "..", "cli", "main.ts");
const START_TIMEOUT_MS = 900_000;

/** Seconds of processor time, and memory. */
export interface Use {
  readonly cpuSeconds: number;
  /** Of it, in the kernel. */
  readonly systemSeconds: number;
  readonly rssMib: number;
  /** Seconds of each thread, by its name. */
  readonly threads: ReadonlyMap<string, number>;
}

/** A server that is listening. */
export interface LargeServer {
  readonly url: string;
  /** Null unless it was started with one. */
  readonly consoleUrl: string | null;
  /** Seconds from the start of the process to its word that it listens. */
  readonly listeningSeconds: number;
  use(): Use;
  /** Asks as the operator. */
  ask(method: string, path: string, body?: JsonObject): Promise<unknown>;
  close(): Promise<void>;
}

/** Starts `warden up` on a data directory that `fill.ts` made. @param further - options of it. */
export async function openServer(directory: string, further: readonly string[] = []): Promise<LargeServer> {
  const places = ["--data", join(directory, "data"), "--config-dir", join(directory, "config")];
  writeFileSync(join(directory, "config", "server.json"), JSON.stringify({ quotas: QUOTAS }), {
    mode: 0o600,
  });
  const listen = ["--trust-domain", TRUST_DOMAIN, "--port", "0", "--stop-port", "0", "--log-level", "warn"];
  const startedMs = performance.now();
  const observed = observation();
  const child = spawn(
    process.execPath,
    [...observed.args, WARDEN, "up", "--no-node", ...listen, ...further, ...places],
    {
      env: { PATH: process.env.PATH, ...observed.env },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), "line", { signal }),
    once(child, "exit").then(() => {
      throw new Error("the server did not start");
    }),
  ]);
  const listeningSeconds = (performance.now() - startedMs) / 1000;
  const ready: { readonly url: string; readonly admin_socket: string; readonly console_url?: string } =
    JSON.parse(String(line));
  return {
    url: ready.url,
    consoleUrl: ready.console_url ?? null,
    listeningSeconds,
    use: () => readUse(child),
    ask: (method, path, body) => askOperator(ready.admin_socket, { method, path, body }),
    close: () => end(child),
  };
}

function readUse({ pid = 0 }: ChildProcess): Use {
  const { user, system } = processorTicks(pid);
  return {
    cpuSeconds: (user + system) / TICKS_PER_SECOND,
    systemSeconds: system / TICKS_PER_SECOND,
    rssMib: residentMib(pid),
    threads: new Map([...threadTicks(pid)].map(([name, ticks]) => [name, ticks / TICKS_PER_SECOND])),
  };
}
