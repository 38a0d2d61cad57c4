/** Runs MCP's own conformance suite, and reads what it found. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { runCommand } from "../command.ts";
import type { Lab } from "../judge.ts";

const SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
const TIMEOUT_MS = 240_000;
const REPORT = "checks.json";
/** Of one scenario; they take milliseconds, and one that hangs has failed. */
const SCENARIO_TIMEOUT_MS = 8000;

const checks = z.array(z.object({ id: z.string(), status: z.string(), errorMessage: z.string().optional() }));

/** One scenario: what failed of it; empty when it passed. */
export type Scenarios = ReadonlyMap<string, readonly string[]>;

/** @param args - what is run, such as `server --url … --requirements 2026-07-28`. */
export async function runSuite(lab: Lab, name: string, args: readonly string[]): Promise<Scenarios> {
  const folder = join(lab.scratch, name);
  mkdirSync(folder, { recursive: true });
  const options = ["-o", folder, "--timeout", String(SCENARIO_TIMEOUT_MS)];
  await runCommand(process.execPath, [join(lab.root, SUITE), ...args, ...options], { timeoutMs: TIMEOUT_MS });
  const found = new Map<string, readonly string[]>();
  // Scenarios with a slash in their name have a folder of their own.
  const reports = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(REPORT),
  );
  for (const entry of reports.map((path) => path.slice(0, -REPORT.length - 1))) {
    const scenario = entry.replace(/^(?:server|client)-/, "").replace(/-\d{4}-\d\d-\d\dT.*$/, "");
    const report = checks.parse(JSON.parse(readFileSync(join(folder, entry, REPORT), "utf8")));
    const failed = report.filter(({ status }) => status === "FAILURE");
    found.set(
      scenario,
      failed.map(({ id, errorMessage = "" }) => `${id}: ${errorMessage.slice(0, 200)}`),
    );
  }
  return found;
}
