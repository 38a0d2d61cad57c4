/**
 * `./dev interop`: programs that nobody on this project wrote judge what it makes.
 *
 *   node interop/run.ts [--only NAME] [--seed N] [--retry]
 *
 * One line a judge, and `N passed, N failed` at the end. Exits with 1 on a failure. A judge that cannot be had is a
 * failure in CI and a loud skip elsewhere; one that only sits where somebody brings its program is a loud skip without
 * it everywhere; a judge that accepted nothing or refused nothing is a failure everywhere.
 * With `--retry` a judge that broke off before it said anything is heard once more; what a judge found wrong stands.
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { authzJudge } from "./authz-judge.ts";
import { crlJudge } from "./crl-judge.ts";
import { deployJudge } from "./deploy-judge.ts";
import { evidenceJudge } from "./evidence-judge.ts";
import { exportsJudge } from "./exports-judge.ts";
import { hear, type Outcome } from "./hear.ts";
import { hsmJudge } from "./hsm-judge.ts";
import { closeLab, createLab, type Judge } from "./judge.ts";
import { largeLedgerJudge, quickstartLedgerJudge, turnedLedgerJudge } from "./ledger-judge.ts";
import { litewitnessJudge } from "./litewitness/judge.ts";
import { modelClientsJudge } from "./llm/judge.ts";
import { mcpAuthJudge } from "./mcp/mcp-auth-judge.ts";
import { mcpClientJudge } from "./mcp/mcp-client-judge.ts";
import { mcpServerJudge } from "./mcp/mcp-judge.ts";
import { openapiJudge } from "./openapi-judge.ts";
import { openbaoJudge } from "./openbao-judge.ts";
import { opensslJudge } from "./openssl-judge.ts";
import { policyJudge } from "./policy-judge.ts";
import { profileJudge } from "./profile-judge.ts";
import { proofJudge } from "./proof-judge.ts";
import { createRandom } from "./random.ts";
import { sccJudge } from "./scc-judge.ts";
import { spiffeJudge } from "./spiffe-judge.ts";
import { spireFederationJudge } from "./spire/federation-judge.ts";
import { stockOpaJudge } from "./stock-opa-judge.ts";
import { ledgerStorageJudge } from "./storage/judge.ts";
import { suiteJudge } from "./suite-judge.ts";
import { tracesJudge } from "./traces-judge.ts";
import { curlJudge } from "./wild/curl-judge.ts";
import { mariadbJudge } from "./wild/mariadb-judge.ts";
import { nginxJudge } from "./wild/nginx-judge.ts";
import { postgresqlJudge } from "./wild/postgresql-judge.ts";
import { redisJudge } from "./wild/redis-judge.ts";
import { tesseraWitnessJudge, witnessJudge } from "./witness-judge.ts";
import { workloadJudges } from "./workload/judges.ts";
import { wycheproofJudge } from "./wycheproof-judge.ts";
import { zlintJudge } from "./zlint-judge.ts";

const JUDGES: readonly Judge[] = [
  spiffeJudge,
  opensslJudge,
  profileJudge,
  zlintJudge,
  sccJudge,
  wycheproofJudge,
  largeLedgerJudge,
  quickstartLedgerJudge,
  turnedLedgerJudge,
  proofJudge,
  witnessJudge,
  tesseraWitnessJudge,
  litewitnessJudge,
  evidenceJudge,
  exportsJudge,
  tracesJudge,
  deployJudge,
  openapiJudge,
  policyJudge,
  stockOpaJudge,
  mcpServerJudge,
  mcpClientJudge,
  mcpAuthJudge,
  authzJudge,
  crlJudge,
  hsmJudge,
  modelClientsJudge,
  nginxJudge,
  postgresqlJudge,
  ledgerStorageJudge,
  mariadbJudge,
  redisJudge,
  openbaoJudge,
  curlJudge,
  ...workloadJudges,
  suiteJudge,
  spireFederationJudge,
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      seed: { type: "string" },
      retry: { type: "boolean", default: false },
    },
  });
  const seed = Number(values.seed ?? randomInt(2 ** 31));
  const judges = JUDGES.filter(({ name }) => name.includes(values.only ?? ""));
  const lab = createLab(join(import.meta.dirname, ".."), createRandom(seed));
  console.log(`interop: seed ${seed}`);
  try {
    const outcomes: Outcome[] = [];
    for (const judge of judges) outcomes.push(await hear(judge, lab, values.retry ? 2 : 1));
    const count = (wanted: Outcome) => outcomes.filter((outcome) => outcome === wanted).length;
    const skipped = count("skipped") === 0 ? "" : `, ${count("skipped")} skipped`;
    console.log(`\n${count("passed")} passed, ${count("failed")} failed${skipped}`);
    process.exitCode = count("failed") > 0 || count("passed") === 0 ? 1 : 0;
  } finally {
    closeLab(lab);
  }
}

await main();
