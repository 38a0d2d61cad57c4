/**
 * Real PostgreSQL and a real object store under the ledger: the storage contract, the crash matrix, two writers, broken
 * connections, restored backups; and a whole server on them, killed at work.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CrashCampaign } from "../../test/support/crash-campaign.ts";
import { CRASH_POINTS } from "../../test/support/crash-points.ts";
import { createRemoteLedger } from "../../test/support/remote-ledger.ts";
import { runCommand } from "../command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { openStorageLab, type StorageLab } from "./lab.ts";

/** One after the other: they share the database. */
const TESTS = ["server/store/postgres-log.test.ts", "test/remote-shards.test.ts"] as const;
const TESTS_TIMEOUT_MS = 600_000;
/** Where database, objects and the mark kept elsewhere are at different places of the order. */
const CRASHES = ["step 3: tiles", "step 6: state with the checkpoint"];
const HIT = 4;
const REFUSAL = /refuse|no more than it needs/;

export const ledgerStorageJudge: Judge = { name: "ledger-storage", run: judgeLedgerStorage };

async function judgeLedgerStorage(lab: Lab): Promise<Findings> {
  const storage = await openStorageLab(lab);
  try {
    const verdicts = [...(await runTests(lab, storage)), ...(await killServers(storage))];
    return countVerdicts(verdicts, storage.versions);
  } finally {
    await storage.close();
  }
}

async function runTests({ root, scratch }: Lab, storage: StorageLab): Promise<readonly Verdict[]> {
  const report = join(scratch, "ledger-storage.json");
  const how = ["--no-file-parallelism", "--reporter=json", `--outputFile.json=${report}`];
  const { stderr } = await runCommand(
    join(root, "node_modules", ".bin", "vitest"),
    ["run", ...TESTS, ...how],
    {
      timeoutMs: TESTS_TIMEOUT_MS,
      cwd: root,
      env: { TRUSTWARDEN_STORAGE_LAB: JSON.stringify(storage.lab) },
    },
  );
  const { testResults } = JSON.parse(readFileSync(report, "utf8"));
  const results: readonly { fullName: string; status: string; failureMessages: string[] }[] =
    testResults.flatMap(({ assertionResults }: { assertionResults: unknown }) => assertionResults);
  if (testResults.length !== TESTS.length || results.length === 0)
    throw new Error(`not all of ${TESTS.join(", ")} ran: ${stderr.trim()}`);
  return results.map(({ fullName, status, failureMessages }) => {
    const expected = REFUSAL.test(fullName) ? "refuse" : "accept";
    const isRight = status === "passed";
    return {
      name: fullName,
      expected,
      isAccepted: isRight === (expected === "accept"),
      said: failureMessages[0],
    };
  });
}

async function killServers(storage: StorageLab): Promise<readonly Verdict[]> {
  const ledger = await createRemoteLedger(storage.lab);
  const campaign = await CrashCampaign.begin({ ledger });
  const verdicts: Verdict[] = [];
  try {
    for (const name of CRASHES) {
      const point = CRASH_POINTS.find((one) => one.name === name);
      if (point === undefined) throw new Error(`there is no crash point "${name}"`);
      const entries = await campaign.crashAt(point, HIT);
      verdicts.push({ name: `a server killed at ${name}`, expected: "accept", isAccepted: entries > 0 });
    }
    return verdicts;
  } finally {
    await campaign.end();
    ledger.remove();
  }
}
