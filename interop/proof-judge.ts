/**
 * The Go project's `x/mod/sumdb/tlog` and `transparency-dev/merkle` on every inclusion and consistency proof of every
 * small tree (checklist 3 and 4), as our prover makes them from tiles; the mutations are made on their side.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startTestLog } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { MemoryLogStorage } from "@trustwarden/core/agentledger/memory-log-storage.ts";
import { leafHash, rootOf } from "@trustwarden/core/agentledger/merkle.ts";
import { TreeReader } from "@trustwarden/core/agentledger/tree-reader.ts";
import { runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { toBase64 } from "./spiffe-case.ts";
import { requireGoTools } from "./tools.ts";

const MAX_SIZE = 130;
const TIMEOUT_MS = 60_000;

export const proofJudge: Judge = {
  name: `x/mod and merkle on every proof up to ${MAX_SIZE} entries`,
  run: judgeProofs,
};

async function judgeProofs(lab: Lab): Promise<Findings> {
  const { logjudge } = await requireGoTools(lab);
  const file = join(lab.scratch, "proofs.json");
  const proofs = await createProofs();
  writeFileSync(file, JSON.stringify(proofs));
  const good = await runCommand(logjudge, ["-records", file], { timeoutMs: TIMEOUT_MS });
  const [, inclusion = 0, consistency = 0, mutations = 0] = (
    /^accepted: (\d+) inclusion proofs, (\d+) consistency proofs, (\d+) mutations refused/.exec(
      good.stdout,
    ) ?? []
  ).map(Number);
  const [first] = proofs.inclusion.filter(({ proof }) => proof.length > 0);
  writeFileSync(file, JSON.stringify({ ...proofs, inclusion: [{ ...first, proof: [] }] }));
  const bad = await runCommand(logjudge, ["-records", file], { timeoutMs: TIMEOUT_MS });
  const verdicts: readonly Verdict[] = [
    {
      name: "all proofs",
      expected: "accept",
      isAccepted: good.code === 0 && mutations > 0,
      said: good.stdout + good.stderr,
    },
    { name: "a proof without its hashes", expected: "refuse", isAccepted: bad.code === 0, said: bad.stdout },
  ];
  const { wrong } = countVerdicts(verdicts);
  return { accepted: inclusion + consistency, refused: mutations + 1, wrong };
}

async function createProofs() {
  const storage = new MemoryLogStorage();
  const log = await startTestLog({ origin: "proofs.acme.test", storage });
  const entries = Array.from({ length: MAX_SIZE }, (_, index) => new TextEncoder().encode(`entry ${index}`));
  await log.append(entries);
  await log.waitForCheckpoint(MAX_SIZE);
  const hashes = entries.map(leafHash);
  const roots = Array.from({ length: MAX_SIZE + 1 }, (_, size) => toBase64(rootOf(hashes.slice(0, size))));
  // One reader for all, which keeps its tiles; the prover makes one a question and checks its own answer too.
  const tree = new TreeReader(storage, MAX_SIZE);
  const inclusion = [];
  const consistency = [];
  for (let size = 1; size <= MAX_SIZE; size += 1) {
    for (let index = 0; index < size; index += 1) {
      const proof = await tree.readInclusionProof(index, size);
      inclusion.push({ index, size, proof: proof.map(toBase64) });
      const older = await tree.readConsistencyProof(index + 1, size);
      consistency.push({ old: index + 1, new: size, proof: older.map(toBase64) });
    }
  }
  await log.stop();
  return { roots, entries: entries.map(toBase64), inclusion, consistency };
}
