/**
 * Flips one bit at a time in the files of an exported log, and audits it with what `warden ledger verify` runs.
 *
 *   node attacks/support/bit-flipper.ts <export directory> <vkey> <count>
 *
 * A process of its own; prints how many flips were made, and each that nobody noticed or whose place was not named.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { auditDirectory } from "../../cli/verify-directory.ts";

const [directory = "", vkey = "", count = "0"] = process.argv.slice(2);
/** The log itself; trust roots and key come from elsewhere. */
const files = readdirSync(directory, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && (entry.name === "checkpoint" || entry.parentPath.includes("tile")))
  .map((entry) => join(entry.parentPath, entry.name));
const total = files.reduce((sum, file) => sum + readFileSync(file).length, 0);
const missed: string[] = [];
for (let flip = 0; flip < Number(count); flip += 1) {
  const { file, at } = pick(Math.floor(Math.random() * total));
  const before = readFileSync(file);
  const after = Buffer.from(before);
  after[at] = (after[at] ?? 0) ^ (1 << Math.floor(Math.random() * 8));
  writeFileSync(file, after);
  if (!(await isNoticed())) missed.push(`${relative(directory, file)} at byte ${at}`);
  writeFileSync(file, before);
}
process.stdout.write(
  `${JSON.stringify({ flips: Number(count), files: files.length, bytes: total, missed })}\n`,
);

/** Noticed means: a refusal with a code, or damage at a named place. */
async function isNoticed(): Promise<boolean> {
  try {
    const { findings } = await auditDirectory({ directory, vkey, olderCheckpoint: undefined });
    return findings.some(({ severity, place }) => severity === "damage" && place !== "");
  } catch (error) {
    if (error instanceof TrustWardenError) return true;
    throw error;
  }
}

function pick(position: number): { readonly file: string; readonly at: number } {
  let at = position;
  for (const file of files) {
    const { length } = readFileSync(file);
    if (at < length) return { file, at };
    at -= length;
  }
  throw new Error("the position lies within the files");
}
