/** Project Wycheproof's vectors, by the tests that run them beside our verifiers; this counts what they looked at. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { runCommand } from "./command.ts";
import { type Findings, type Judge, JudgeUnavailable, type Lab } from "./judge.ts";

const TIMEOUT_MS = 120_000;
const TESTS = ["core/agentid/wycheproof.test.ts", "core/agentledger/wycheproof.test.ts"];
/** Vectors that say for each signature what it is; the tests require our verdict to be theirs on every one. */
const SIGNATURES = ["ecdsa_secp256r1_sha256_p1363", "ecdsa_secp256r1_sha256", "ed25519"];
/** Vectors of tokens and keys, most of them outside our profile: the tests say which are to be taken. */
const JOSE = ["json_web_signature", "json_web_key"];

const vectorFile = z.object({
  numberOfTests: z.number(),
  testGroups: z.array(z.object({ tests: z.array(z.object({ result: z.string() })) })),
});
const testReport = z.object({
  testResults: z.array(
    z.object({ assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })) }),
  ),
});

export const wycheproofJudge: Judge = { name: "Wycheproof", run: judgeWycheproof };

async function judgeWycheproof(lab: Lab): Promise<Findings> {
  const folder = join(lab.root, "..", "shared", "vectors", "wycheproof");
  if (!existsSync(folder)) throw new JudgeUnavailable("its vectors are not in ../shared/vectors/wycheproof");
  const load = (name: string) =>
    vectorFile.parse(JSON.parse(readFileSync(join(folder, `${name}_test.json`), "utf8")));
  const results = SIGNATURES.flatMap((name) => load(name).testGroups.flatMap(({ tests }) => tests));
  const count = (wanted: string) => results.filter(({ result }) => result === wanted).length;
  const jose = JOSE.reduce((sum, name) => sum + load(name).numberOfTests, 0);
  const wrong = await runTests(lab);
  return {
    accepted: count("valid"),
    refused: count("invalid"),
    wrong,
    note: `and ${jose} JWS and JWK vectors`,
  };
}

/** Names of the tests that did not pass; a test that was skipped did not. */
async function runTests({ root, scratch }: Lab): Promise<readonly string[]> {
  const file = join(scratch, "wycheproof.json");
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const args = ["run", ...TESTS, "--reporter=json", `--outputFile=${file}`];
  const { stderr } = await runCommand(process.execPath, [vitest, ...args], {
    cwd: root,
    timeoutMs: TIMEOUT_MS,
  });
  if (!existsSync(file)) return [`vitest gave no report: ${stderr.trim()}`];
  const { testResults } = testReport.parse(JSON.parse(readFileSync(file, "utf8")));
  const empty = testResults
    .filter(({ assertionResults }) => assertionResults.length === 0)
    .map(() => "a file without tests");
  const missing = testResults.length < TESTS.length ? ["a test file was not run"] : [];
  const failed = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status !== "passed")
    .map(({ fullName, status }) => `${status}: ${fullName}`);
  return [...missing, ...empty, ...failed];
}
