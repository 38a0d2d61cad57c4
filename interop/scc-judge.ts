/**
 * `scc`, a checker of the forms that the SPIFFE texts prescribe: ids, SVIDs of the three kinds, bundles, maps of them
 * and configurations of federation, clause by clause.
 *
 * It sits only where somebody brings it (`SCC_BIN`): no module proxy that we know serves it, and a refusal is final. So
 * without it the run says that it did not judge. What it was written by is in docs/decisions/0090.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type CommandResult, runCommand } from "./command.ts";
import { createDomain } from "./domain.ts";
import {
  countVerdicts,
  type Findings,
  type Judge,
  JudgeNotBrought,
  type Lab,
  type Verdict,
} from "./judge.ts";
import { createFormCases, type FormCase } from "./scc-cases.ts";
import { requireProgram } from "./tools.ts";

const TIMEOUT_MS = 30_000;
/** It could not read the artifact at all, or was asked for something that it does not know. */
const UNREADABLE = 2;
const MODULE = "github.com/kanywst/spiffe-compliance-checker/cmd/scc";

const report = z.object({
  summary: z.object({ passed: z.number(), failed: z.number(), warnings: z.number() }),
  assertions: z.array(
    z.object({ status: z.enum(["pass", "fail", "warn"]), section: z.string(), text: z.string() }),
  ),
});

export const sccJudge: Judge = { name: "scc", run: judgeForms };

async function judgeForms(lab: Lab): Promise<Findings> {
  const program = process.env.SCC_BIN;
  if (!program)
    throw new JudgeNotBrought(`set SCC_BIN to its program, where your module proxy serves ${MODULE}`);
  const version = await requireProgram(program, ["--version"], "SCC_BIN names no program that runs");
  const now = Math.floor(Date.now() / 1000);
  const cases = createFormCases(createDomain("acme.test", now), createDomain("other.test", now), now);
  const seen: { readonly verdict: Verdict; readonly warnings: number }[] = [];
  for (const [index, one] of cases.entries()) seen.push(await judgeOne(one, { program, lab, index }));
  const warnings = seen.reduce((sum, one) => sum + one.warnings, 0);
  return countVerdicts(
    seen.map(({ verdict }) => verdict),
    `${version.trim()}; ${warnings} warnings about what it accepted`,
  );
}

async function judgeOne(
  { kind, name, expected, artifact }: FormCase,
  { program, lab, index }: { readonly program: string; readonly lab: Lab; readonly index: number },
): Promise<{ readonly verdict: Verdict; readonly warnings: number }> {
  const file = join(lab.scratch, `scc-${index}`);
  if (artifact instanceof Uint8Array) writeFileSync(file, artifact);
  // An id may be empty, and none begins with a dash.
  const args = artifact instanceof Uint8Array ? [file] : typeof artifact === "string" ? [artifact] : artifact;
  const result = await runCommand(program, [kind, "--format", "json", ...args], { timeoutMs: TIMEOUT_MS });
  return { verdict: { name, expected, ...readVerdict(result) }, warnings: countWarnings(result) };
}

/** A report and the exit code have to agree; a program that says yes without having looked at a clause says nothing. */
function readVerdict({ code, stdout, stderr }: CommandResult): Pick<Verdict, "isAccepted" | "said"> {
  if (code === UNREADABLE && !stderr.includes("unknown subcommand"))
    return { isAccepted: false, said: stderr.trim() };
  if (code !== 0 && code !== 1) throw new Error(`scc: exit code ${code}: ${stderr.trim()}`);
  const { summary, assertions } = report.parse(JSON.parse(stdout));
  const failed = assertions.filter(({ status }) => status === "fail");
  if (failed.length !== summary.failed || failed.length > 0 !== (code === 1) || assertions.length === 0)
    throw new Error(`scc: exit code ${code} with ${failed.length} of ${assertions.length} clauses failed`);
  const said = failed.map(({ section, text }) => `${section} ${text}`).join("; ");
  return { isAccepted: code === 0, said: said || `${summary.passed} clauses passed` };
}

function countWarnings({ code, stdout }: CommandResult): number {
  return code === 0 ? report.parse(JSON.parse(stdout)).summary.warnings : 0;
}
