/** The ledger of the founding story: a real server, real agents, and the export that the quickstart makes of it. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { runCommand } from "./command.ts";
import type { Lab } from "./judge.ts";
import type { ExportedLedger } from "./ledger-log.ts";

const TIMEOUT_MS = 240_000;

/** Plays the quickstart and returns what it exported; the lab's scratch folder holds it. */
export async function playQuickstart({ root, scratch }: Lab): Promise<ExportedLedger> {
  const program = join(root, "examples", "quickstart", "run.ts");
  const { code, stdout, stderr } = await runCommand(process.execPath, [program, "--keep"], {
    cwd: root,
    timeoutMs: TIMEOUT_MS,
    // What it keeps goes where the lab is cleared.
    env: { TMPDIR: scratch },
  });
  const kept = /^Kept: (.+)$/m.exec(stdout)?.[1];
  if (code !== 0 || kept === undefined)
    throw new Error(`the quickstart did not hold: ${stdout.slice(-2000)}${stderr}`);
  rmSync(join(kept, "thief"), { recursive: true, force: true });
  const directory = join(kept, "export");
  const vkey = readFileSync(join(directory, "vkey"), "utf8").trim();
  const { size } = verifyCheckpoint(readFileSync(join(directory, "checkpoint"), "utf8"), vkey);
  return { directory, vkey, size, oldCheckpoints: [], acknowledgements: [], forkedCheckpoints: [] };
}
