/**
 * `./dev adapters`: installs the frameworks from their own lockfile, checks the adapters' types against them, runs the
 * tests, and ends with `N passed, N failed`. More arguments go to the test runner.
 *
 * The frameworks are heavy (700 MB, of which half is one program), so nothing else in the house needs them installed.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "..");
const FRAMEWORKS = join(HERE, "frameworks");
const MODULES = join(FRAMEWORKS, "node_modules");
const EXAMPLES = join(ROOT, "examples");
/** Where `ai`, `langchain` and the others are looked for from. */
const LINKED = ["ai-sdk", "claude-agent-js", "langchain-js", "mastra", "mcp", "openai-agents-js"];
const MAX_REPORT_BYTES = 64 * 1024 * 1024;

/** Runs a program with its output shown; its exit code. */
function run(command: string, args: readonly string[], cwd = ROOT): number {
  return spawnSync(command, [...args], { cwd, stdio: "inherit" }).status ?? 1;
}

/** Content decides whether to install, never time. An `npm ci` of the house clears what our link leads to, but not the stamp. */
function install(): void {
  const lock = readFileSync(join(FRAMEWORKS, "package-lock.json"));
  const want = createHash("sha256").update(lock).digest("hex");
  const stamp = join(MODULES, ".trustwarden-lock");
  const { dependencies } = JSON.parse(readFileSync(join(FRAMEWORKS, "package.json"), "utf8"));
  const isThere = Object.keys(dependencies).every((name) => existsSync(join(MODULES, name, "package.json")));
  if (!isThere || !existsSync(stamp) || readFileSync(stamp, "utf8") !== want) {
    console.error("adapters: installing the frameworks from their lockfile (no install scripts)");
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    if (run("npm", ["ci", ...flags], FRAMEWORKS) !== 0) throw new Error("npm ci failed; see the lines above");
    writeFileSync(stamp, want);
  }
  link(join(HERE, "node_modules"));
  const examples = readdirSync(EXAMPLES).filter((name) => LINKED.includes(name));
  for (const name of examples) link(join(EXAMPLES, name, "node_modules"));
}

function link(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) rmSync(path, { recursive: true });
  symlinkSync(MODULES, path, "dir");
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

function runTests(args: readonly string[]): Counts {
  const report = join(MODULES, ".trustwarden-report.json");
  rmSync(report, { force: true });
  const config = ["--config", join(HERE, "vitest.config.ts")];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const status = run("vitest", ["run", ...config, ...reporters, ...args]);
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const text = readFileSync(report, "utf8").slice(0, MAX_REPORT_BYTES);
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(text);
  for (const { name, message, assertionResults } of testResults) {
    if (message) console.log(`FAIL ${name} ${String(message).slice(0, 300)}`);
    for (const { status: ended, fullName } of assertionResults)
      if (ended === "failed") console.log(`FAIL ${fullName}`);
  }
  // What broke outside of a test, or a run that looked at nothing, has failed too.
  const broken = status !== 0 && numFailedTests === 0 ? 1 : 0;
  return { passed: numPassedTests, failed: numFailedTests + (numPassedTests === 0 ? 1 : broken) };
}

install();
const hasTypes = run("tsc", ["-p", HERE]) === 0;
if (!hasTypes) console.log("FAIL the adapters' types");
const { passed, failed } = runTests(process.argv.slice(2));
console.log(`${passed + Number(hasTypes)} passed, ${failed + Number(!hasTypes)} failed`);
process.exitCode = failed === 0 && hasTypes ? 0 : 1;
