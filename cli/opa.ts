/**
 * The `opa` program, where there is one: tests and full explanations of policies need it; deciding does not.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Io } from "./io.ts";

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 10_000_000;

/** Where the built-in policy and its tests are. */
export const POLICIES_DIR = fileURLToPath(new URL("../policies/", import.meta.url));

export interface OpaRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Path of `opa` from `OPA_BIN` or PATH, or undefined. */
export function findOpa(env: Io["env"]): string | undefined {
  const named = env.OPA_BIN;
  const onPath = (env.PATH ?? "").split(delimiter).filter((directory) => directory !== "");
  const candidates = named === undefined ? onPath.map((directory) => join(directory, "opa")) : [named];
  return candidates.find(isExecutable);
}

/** @throws TrustWardenError `policy_unavailable`, saying how to get it. */
export function requireOpa(env: Io["env"]): string {
  const opa = findOpa(env);
  if (opa !== undefined) return opa;
  throw new TrustWardenError("policy_unavailable", {
    why: "opa is neither named in OPA_BIN nor found on PATH",
    next: "Get it from https://www.openpolicyagent.org/docs/#1-download-opa or with `go install github.com/open-policy-agent/opa@v1.18.1`, then set OPA_BIN.",
  });
}

/** Runs opa to its end; arguments never pass through a shell. */
export function runOpa(opa: string, args: readonly string[], input = ""): OpaRun {
  const run = spawnSync(opa, args, {
    input,
    encoding: "utf8",
    timeout: TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  if (run.error !== undefined) {
    throw new TrustWardenError("policy_unavailable", { why: `opa could not be run: ${run.error.message}` });
  }
  return { exitCode: run.status ?? 1, stdout: run.stdout, stderr: run.stderr };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Not there or not executable is the answer itself.
    return false;
  }
}
