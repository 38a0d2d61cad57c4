/**
 * One process of the suite: started with its own small environment, ready when it says so in a line of JSON, and ended
 * by its own id.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const READY_TIMEOUT_MS = 60_000;
const EXIT_TIMEOUT_MS = 8_000;
/** What a process says is kept up to here, for the searches of D16 and for messages of failure. */
const MAX_OUTPUT_CHARS = 16_000_000;

/** How a program is to be run. */
export interface ProgramOptions {
  /** From the root of the repository, then arguments. */
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Modules that are loaded first, from the root of the repository. */
  readonly imports?: readonly string[];
  /** Where it works; the root of the repository unless given. */
  readonly cwd?: string;
}

/** A process that said it is ready. */
export interface RunningChild {
  readonly pid: number;
  /** The line that said so. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Everything it wrote, both streams. */
  output(): string;
  isRunning(): boolean;
  /** Resolves when it is gone. */
  readonly exited: Promise<void>;
  /** Ends it kindly, then firmly. */
  stop(): Promise<void>;
  /** Ends it at once, as a power cut would. */
  kill(): Promise<void>;
}

/** What a program left. */
export interface Finished {
  readonly exitCode: number;
  readonly output: string;
}

/** Starts a program that says in one line of JSON when it is ready. @throws Error with its output when it does not. */
export async function startChild(options: ProgramOptions): Promise<RunningChild> {
  const child = spawnProgram(options);
  const output = collect(child);
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  const timer = setTimeout(() => reject(new Error("not ready in time")), READY_TIMEOUT_MS);
  void exited.then(() => reject(new ChildFailed(options.args[0] ?? "", output())));
  createInterface({ input: requireStream(child.stdout) }).on("line", (line) => {
    if (line.startsWith('{"ready":true')) resolve(JSON.parse(line));
  });
  const running = {
    pid: child.pid ?? 0,
    output,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    exited,
    stop: () => endChild(child, exited, "SIGTERM"),
    kill: () => endChild(child, exited, "SIGKILL"),
  };
  try {
    return { ...running, ready: await promise };
  } catch (error) {
    await running.kill();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** A program ended before it was ready. */
export class ChildFailed extends Error {
  readonly output: string;

  constructor(program: string, output: string) {
    super(`${program} ended before it was ready: ${output.slice(-2000)}`);
    this.output = output;
  }
}

/** How starting a program ended: that it started, or what it said when it did not. */
export function sayOfStart(starting: Promise<unknown>): Promise<string> {
  return starting.then(
    () => "it started",
    (error: unknown) => (error instanceof ChildFailed ? error.output : String(error)),
  );
}

/** Runs a program to its end. */
export async function runProgram(options: ProgramOptions): Promise<Finished> {
  const child = spawnProgram(options);
  const output = collect(child);
  const exitCode = await new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 1)));
  return { exitCode, output: output() };
}

function spawnProgram({ args, env = {}, imports = [], cwd = ROOT }: ProgramOptions): ChildProcess {
  const preloads = imports.flatMap((file) => ["--import", new URL(`../../${file}`, import.meta.url).href]);
  const [file = "", ...rest] = args;
  return spawn(
    process.execPath,
    [...preloads, fileURLToPath(new URL(`../../${file}`, import.meta.url)), ...rest],
    {
      cwd,
      env: { PATH: process.env.PATH ?? "", ...compileCache(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
}

/** Compiled modules are kept by their content, so that hundreds of servers do not each compile the same files. */
function compileCache(): Readonly<Record<string, string>> {
  const { NODE_COMPILE_CACHE } = process.env;
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
}

function collect(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (part: string) => {
      if (text.length < MAX_OUTPUT_CHARS) text += part;
    });
  }
  return () => text;
}

async function endChild(child: ChildProcess, exited: Promise<void>, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), EXIT_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}

function requireStream<T>(stream: T | null): T {
  if (stream === null) throw new Error("a piped process has its streams");
  return stream;
}
