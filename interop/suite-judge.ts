/**
 * spiffe-conformance-test-suite, cases for clients of the Workload API: it plays the endpoint and the peers, and our SDK
 * answers through `suite/harness.ts`.
 *
 * It sits only where somebody brings it (`SUITE_BIN`): no module proxy that we know serves it, and a refusal is final. So
 * without it the run says that it did not judge. What holds the same cases meanwhile is in docs/decisions/0091.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { runCommand } from "./command.ts";
import {
  countVerdicts,
  type Findings,
  type Judge,
  JudgeNotBrought,
  JudgeUnavailable,
  type Lab,
  type Verdict,
} from "./judge.ts";

/** Each case starts a harness of its own, and a few wait for a backoff. */
const TIMEOUT_MS = 900_000;
const MODULE = "github.com/arndt-s/spiffe-conformance-test-suite/cmd/suite";
/** As many as its catalogue has; a run of fewer has left something out. */
const MIN_CASES = 83;
/** Cases in which the SDK has to refuse something; in all others it has to go on. */
const REFUSALS =
  /^(EP-[47]|WA-4|XS-5|XV-([5-9]|1[0-5])|XF-[23]|JV-([3-8]|1[1-9]|2[1345])|JB-[2357]|JF-4|ID-1|HX-\d+)(\/|$)/;
/** Cases in which we do the other thing, each with the section by which. */
const EXCEPTIONS: ReadonlyMap<string, string> = new Map([
  [
    "JB-5/missing-use",
    "a JWK without `use` counts: the Workload API asks for a standard JWK Set (§6.2.2), and SPIRE's agents write none",
  ],
]);

const report = z.object({
  results: z.array(
    z.object({
      name: z.string(),
      status: z.enum(["PASS", "FAIL", "SKIP", "ERROR"]),
      message: z.string().default(""),
      delegated: z.boolean().default(false),
    }),
  ),
  partial: z.boolean().default(false),
});
type Result = z.infer<typeof report>["results"][number];

export const suiteJudge: Judge = { name: "spiffe-conformance-test-suite", run: judgeClient };

async function judgeClient(lab: Lab): Promise<Findings> {
  const program = process.env.SUITE_BIN;
  if (!program)
    throw new JudgeNotBrought(`set SUITE_BIN to its program, where your module proxy serves ${MODULE}`);
  const { results, partial } = await runSuite(program, lab);
  if (partial || results.length < MIN_CASES) throw new Error(`the suite ran ${results.length} cases only`);
  if (results.some(({ delegated }) => delegated))
    throw new Error("the endpoint validated tokens, so the suite judged itself");
  return countVerdicts(results.map(verdictOf), `${results.length} cases, ${EXCEPTIONS.size} exception`);
}

async function runSuite(program: string, lab: Lab): Promise<z.infer<typeof report>> {
  const file = join(lab.scratch, "suite.json");
  const harness = join(lab.root, "interop", "suite", "harness.ts");
  const args = ["run", "--cmd", process.execPath, "--args", harness, "--parallel", "2"];
  const ran = await runCommand(program, [...args, "--results-file", file], { timeoutMs: TIMEOUT_MS }).catch(
    (cause: unknown) => {
      throw new JudgeUnavailable("SUITE_BIN names no program that runs", { cause });
    },
  );
  // 2 says that some case could not be run, and the results say which.
  if (ran.code !== 0 && ran.code !== 2)
    throw new Error(`the suite ended with ${ran.code}: ${ran.stderr.trim().slice(-1000)}`);
  return report.parse(JSON.parse(readFileSync(file, "utf8")));
}

function verdictOf({ name, status, message }: Result): Verdict {
  const isAsExpected = status === (EXCEPTIONS.has(name) ? "FAIL" : "PASS");
  const expected = REFUSALS.test(name) ? "refuse" : "accept";
  const said = `${status}${message === "" ? "" : `: ${message}`}`;
  return { name, expected, isAccepted: (expected === "accept") === isAsExpected, said };
}
