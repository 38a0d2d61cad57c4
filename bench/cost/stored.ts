/** What an operation leaves in the ledger for ever: entries and bytes, from exports of a real server's ledger. Counts, not times. */
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "../lab.ts";
import { repeat } from "../measure.ts";

/** Of one operation, in the mean. */
export interface Stored {
  readonly entries: number;
  /** Entries and tiles, as an export has them. */
  readonly bytes: number;
}

/** Runs an operation often, with an export of the ledger before it and one after it. */
export async function measureStored(
  lab: Lab,
  {
    directory,
    run,
    runs,
  }: { readonly directory: string; readonly run: () => Promise<unknown>; readonly runs: number },
): Promise<Stored> {
  const before = await exported(lab, join(directory, "before"));
  await repeat(run, { runs, atOnce: 1 });
  const after = await exported(lab, join(directory, "after"));
  return { entries: (after.entries - before.entries) / runs, bytes: (after.bytes - before.bytes) / runs };
}

async function exported(lab: Lab, directory: string): Promise<Stored> {
  mkdirSync(directory, { recursive: true });
  await lab.exportLedger(directory);
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const sizes = files.map((name) => statSync(join(directory, name))).filter((file) => file.isFile());
  return { entries: readTreeSize(directory), bytes: sizes.reduce((sum, { size }) => sum + size, 0) };
}

/** The second line of a checkpoint is the size of its tree. */
function readTreeSize(directory: string): number {
  const [, size] = readFileSync(join(directory, "checkpoint"), "utf8").split("\n");
  if (size === undefined || Number(size) === 0) throw new Error("the exported ledger is empty");
  return Number(size);
}
