/** A stranger's server that runs as long as a judge needs it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect as openSocket } from "node:net";
import { setTimeout } from "node:timers/promises";

const START_TIMEOUT_MS = 20_000;
/** What a reload takes as a rule; whoever needs to be sure asks again. */
const RELOAD_MS = 100;
const STOP_TIMEOUT_MS = 5000;
const MAX_SAID_CHARS = 4000;

export interface RunningProgram {
  /** Tells it to read its files again. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a program and waits until its port, or its Unix socket, accepts connections.
 *
 * @param options.user - its account, where this process may choose one.
 */
export async function startProgram(
  program: string,
  args: readonly string[],
  options: {
    readonly port: number | string;
    readonly user?: { readonly uid: number; readonly gid: number };
    /** Added to our own environment. */
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<RunningProgram> {
  const env = { ...process.env, ...options.env };
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env, ...options.user });
  let said = "";
  const keep = (chunk: Buffer) => {
    said = `${said}${chunk.toString("utf8")}`.slice(-MAX_SAID_CHARS);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const exited = once(child, "exit");
  exited.catch(() => undefined);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await isListening(options.port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`${program} did not start: ${said.trim()}`);
    }
    await setTimeout(50);
  }
  return {
    reload: async () => {
      child.kill("SIGHUP");
      await setTimeout(RELOAD_MS);
    },
    stop: () => stop(child, exited),
  };
}

async function stop(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(STOP_TIMEOUT_MS, undefined, { ref: false }).then(() => child.kill("SIGKILL"));
  await Promise.race([exited, timer]);
  await exited;
}

function isListening(port: number | string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const where = typeof port === "string" ? { path: port } : { host: "127.0.0.1", port };
  const socket = openSocket(where, () => {
    socket.destroy();
    resolve(true);
  });
  socket.on("error", () => resolve(false));
  return promise;
}
