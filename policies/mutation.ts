/**
 * Proves that the policy's tests notice every change of the policy: each rule is removed and inverted, each line of a
 * rule and each member of a set is removed, in turn, and `opa test` has to fail every time (E12).
 *
 * Reads the layout that `opa fmt` gives; a rule of a shape it does not know stops it. Run by `build.sh --check`.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Takes most of the time of all tests, and is asked only about mutants that the others let through. */
const SLOW_TEST = "test_the_control_plane_permits_the_table_and_nothing_else";
/** Exit code of `opa test` when tests ran and some failed; a policy that does not compile gives another. */
const TESTS_FAILED = 2;

/** One small change of a policy. */
export interface Mutant {
  /** What was changed, for a person. */
  readonly name: string;
  /** The whole changed source. */
  readonly source: string;
  /** Line of the rule, from 1. */
  readonly line: number;
}

/** Some adjacent lines of the source. */
interface Block {
  readonly start: number;
  readonly lines: readonly string[];
}

/** Every mutant of a policy, in the order of the source. */
export function mutantsOf(source: string): readonly Mutant[] {
  const lines = source.split("\n");
  return rulesOf(lines).flatMap((rule) => {
    const replace = (what: string, by: readonly string[]): Mutant => ({
      line: rule.start + 1,
      name: `${what} (line ${rule.start + 1}: ${rule.lines[0]})`,
      source: lines.toSpliced(rule.start, rule.lines.length, ...by).join("\n"),
    });
    return [
      replace("rule removed", []),
      replace("rule inverted", invert(rule.lines)),
      ...withoutEachLine(rule.lines).map((by) => replace("line removed", by)),
      ...withoutEachMember(rule.lines).map((by) => replace("set member removed", by)),
    ];
  });
}

/** The rules: from a line that starts with a word to the line that closes what it opens. */
function rulesOf(lines: readonly string[]): readonly Block[] {
  const rules: Block[] = [];
  for (let start = 0; start < lines.length; start += 1) {
    const first = lines[start] ?? "";
    if (!/^[a-z]/.test(first) || /^(?:package|import)\b/.test(first)) continue;
    const length = /[{(]$/.test(first) ? lines.slice(start).findIndex((line) => /^[)}]/.test(line)) + 1 : 1;
    rules.push({ start, lines: lines.slice(start, start + length) });
    start += length - 1;
  }
  return rules;
}

/** The rule with the opposite truth. */
function invert(rule: readonly string[]): readonly string[] {
  const [first = "", ...rest] = rule;
  if (first.startsWith("default ")) return [first.replace("false", "true")];
  if (/ contains .* if not /.test(first)) return [first.replace(" if not ", " if ")];
  const conditional = /^([a-z_]+) if /.exec(first);
  if (conditional !== null)
    return [first.replace(/^[a-z_]+/, "mutated"), ...rest, "", `${conditional[1]} if not mutated`];
  const assigned = /^([a-z_]+) := /.exec(first);
  if (assigned !== null) return [`${assigned[1]} := "mutated"`];
  throw new Error(`a rule of an unknown shape: ${first}`);
}

/** One version for each inner line that does not open or close anything. */
function withoutEachLine(rule: readonly string[]): readonly (readonly string[])[] {
  if (!(rule[0] ?? "").endsWith("{")) return [];
  return rule.flatMap((line, index) =>
    /^\t.*[^{(]$/.test(line) && !/^\t+[})]/.test(line) ? [rule.toSpliced(index, 1)] : [],
  );
}

/** One version for each text in a set that is written on one line. */
function withoutEachMember(rule: readonly string[]): readonly (readonly string[])[] {
  return rule.flatMap((line, index) => {
    const set = /\{("[^{}:]*"(?:, "[^{}]*")*)\}/.exec(line);
    if (set === null) return [];
    const members = (set[1] ?? "").split(", ");
    return members.map((_, at) =>
      rule.with(index, line.replace(set[0], `{${members.toSpliced(at, 1).join(", ")}}`)),
    );
  });
}

type Verdict = "caught" | "survived" | "invalid";

/** `invalid` when the compiler notices the mutant before any test does. */
function judge(opa: string, folder: string, { mutant, quick }: { mutant: Mutant; quick: string }): Verdict {
  writeFileSync(join(folder, "decision.rego"), mutant.source);
  const verdict = runTests(opa, folder, ["--run", quick]);
  return verdict === "survived" ? runTests(opa, folder, []) : verdict;
}

/** A pattern of every test but the slow one. */
function quickTestsOf(tests: string): string {
  const names = [...tests.matchAll(/^(test_\w+)/gm)].map(([, name]) => name);
  return names
    .filter((name) => name !== SLOW_TEST)
    .map((name) => `\\.${name}$`)
    .join("|");
}

function runTests(opa: string, folder: string, options: readonly string[]): Verdict {
  try {
    execFileSync(opa, ["test", "--timeout", "60s", ...options, folder], { stdio: "pipe" });
    return "survived";
  } catch (error) {
    const status = error instanceof Error && "status" in error ? error.status : undefined;
    return status === TESTS_FAILED ? "caught" : "invalid";
  }
}

function main(): void {
  const opa = process.env.OPA_BIN ?? "opa";
  const here = join(import.meta.dirname, "trustwarden");
  const mutants = mutantsOf(readFileSync(join(here, "decision.rego"), "utf8"));
  const folder = mkdtempSync(join(tmpdir(), "mutation-"));
  try {
    cpSync(here, folder, { recursive: true });
    const quick = quickTestsOf(readFileSync(join(here, "decision_test.rego"), "utf8"));
    const verdicts = mutants.map((mutant) => ({ mutant, verdict: judge(opa, folder, { mutant, quick }) }));
    const survivors = verdicts.filter(({ verdict }) => verdict === "survived");
    const caught = verdicts.filter(({ verdict }) => verdict === "caught");
    const untested = new Set(mutants.map(({ line }) => line)).difference(
      new Set(caught.map(({ mutant }) => mutant.line)),
    );
    for (const { mutant } of survivors) console.error(`survived: ${mutant.name}`);
    for (const line of untested) console.error(`no test depends on the rule in line ${line}`);
    console.log(
      `mutation: ${caught.length} of ${mutants.length} mutants caught by tests, ${survivors.length} survived`,
    );
    if (mutants.length === 0 || survivors.length > 0 || untested.size > 0) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) main();
