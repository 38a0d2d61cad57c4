/**
 * What the tests of the command share: an `Io` that remembers what was printed, and directories of their own.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Runtime } from "./command.ts";
import type { Io } from "./io.ts";
import { runProgram } from "./program.ts";

/** What one command line printed, and its exit code. */
export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line in this process, with a home directory of its own and an empty environment. */
export async function runWarden(home: string, args: readonly string[], env: Io["env"] = {}): Promise<Ran> {
  const printed = { stdout: "", stderr: "" };
  const exitCode = await runProgram(args, {
    env,
    home,
    stdout: (text) => {
      printed.stdout += text;
    },
    stderr: (text) => {
      printed.stderr += text;
    },
    nowMs: () => Date.now(),
    random: (length) => new Uint8Array(randomBytes(length)),
  });
  return { exitCode, ...printed };
}

/** What a program is made with that is looked at and never run. */
export const SILENT: Runtime = {
  io: {
    env: {},
    home: "/",
    stdout: () => undefined,
    stderr: () => undefined,
    nowMs: () => 0,
    random: (length) => new Uint8Array(length),
  },
  setExitCode: () => undefined,
};

/** A fresh private directory. */
export function createHome(): string {
  return mkdtempSync(join(tmpdir(), "warden-test-"));
}
