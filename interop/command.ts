/** Runs a stranger's program to its end, within a time, and keeps what it said. */
import { spawn } from "node:child_process";

/** More than any judge says; a runaway one is cut off. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

export interface CommandResult {
  /** Null when it did not end by itself. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly hasTimedOut: boolean;
}

/**
 * Runs a program; its exit code is the caller's business.
 *
 * @param options.timeoutMs - after which it is killed.
 * @param options.killWhen - killed as soon as its standard error matches: a program that hangs on a mismatch has
 *   said what it had to say.
 */
export function runCommand(
  program: string,
  args: readonly string[],
  options: {
    readonly timeoutMs: number;
    readonly input?: string;
    readonly cwd?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly killWhen?: RegExp;
  },
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: options.cwd, env: { ...process.env, ...options.env } });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let size = 0;
    let hasTimedOut = false;
    const timer = setTimeout(() => {
      hasTimedOut = true;
      child.kill("SIGKILL");
    }, options.timeoutMs);
    const keep = (chunks: Buffer[]) => (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_OUTPUT_BYTES) child.kill("SIGKILL");
    };
    child.stdout.on("data", keep(stdout));
    child.stderr.on("data", keep(stderr));
    child.stderr.on("data", () => {
      if (options.killWhen?.test(Buffer.concat(stderr).toString("utf8"))) child.kill("SIGKILL");
    });
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, stdout: textOf(stdout), stderr: textOf(stderr), hasTimedOut });
    });
    // A program that refuses early closes its input; what it says counts, not the broken pipe.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
  });
}

/** Standard output of a program that has to succeed. @throws Error with what it said otherwise. */
export async function requireOutput(
  program: string,
  args: readonly string[],
  options: Parameters<typeof runCommand>[2],
): Promise<string> {
  const { code, stdout, stderr } = await runCommand(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 3).join(" ")}: ${stderr || stdout}`.trim());
  return stdout;
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
