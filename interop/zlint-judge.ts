/**
 * ZLint beside pkilint: our certificates against its lints of the RFCs and of common mistakes.
 *
 * Its lints of programs for the web's authorities are left out, since these forbid what SPIFFE asks for (a URI as the
 * only name) and ask for what nobody reads here (a country, policies, embedded timestamps).
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { runCommand } from "./command.ts";
import { formatPem } from "./domain.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { createSubjects, type Subject } from "./profile-judge.ts";
import { requireGoProgram } from "./tools.ts";

const TIMEOUT_MS = 60_000;
const SOURCES = "RFC3279,RFC5280,RFC5480,RFC5891,RFC6962,RFC8813,Community";
/** Results of a lint that found nothing: it passed, it is not about this certificate, or not about its time. */
const FINE: readonly string[] = ["pass", "NA", "NE"];
/** Fewer lints that applied would mean that it did not read the certificate. */
const MIN_PASSED = 50;

const report = z.record(z.string(), z.object({ result: z.string() }));

export const zlintJudge: Judge = { name: "zlint 3.6.6", run: judgeProfile };

async function judgeProfile(lab: Lab): Promise<Findings> {
  const zlint = await requireGoProgram(lab, {
    folder: join(lab.root, "interop", "zlint"),
    name: "zlint",
    source: "github.com/zmap/zlint/v3/cmd/zlint",
  });
  const subjects = createSubjects(Math.floor(Date.now() / 1000)).filter(
    ({ certificates }) => certificates.length === 1,
  );
  const verdicts = await Promise.all(subjects.map((subject, index) => lint(subject, { zlint, lab, index })));
  return countVerdicts(verdicts);
}

async function lint(
  { name, expected, certificates }: Subject,
  { zlint, lab, index }: { readonly zlint: string; readonly lab: Lab; readonly index: number },
): Promise<Verdict> {
  const file = join(lab.scratch, `zlint-${index}.pem`);
  writeFileSync(file, formatPem(certificates));
  const { code, stdout, stderr } = await runCommand(zlint, ["-includeSources", SOURCES, file], {
    timeoutMs: TIMEOUT_MS,
  });
  // What it cannot read at all it refuses without a report.
  if (code !== 0) return { name, expected, isAccepted: false, said: stderr.trim().split("\n").at(-1) };
  const results = Object.entries(report.parse(JSON.parse(stdout)));
  const found = results.filter(([, { result }]) => !FINE.includes(result));
  const passed = results.filter(([, { result }]) => result === "pass").length;
  const said = found.map(([lintName, { result }]) => `${lintName} (${result})`).join(", ");
  return {
    name,
    expected,
    isAccepted: found.length === 0 && passed >= MIN_PASSED,
    said: said || `${passed} lints passed`,
  };
}
