/** Data directories that are filled for a benchmark, by a process of its own: its memory is not that of who measures. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Made } from "./generate.ts";

const FILL = join(import.meta.dirname, "fill.ts");

/** What to fill with, as it was said on the command line. */
interface Filling {
  /** A directory that stays, and is filled when it is not yet; one of this run alone without it. */
  readonly keep?: string | undefined;
  readonly owners: string;
  readonly agents: string;
}

/** Lets somebody measure in a filled directory. @throws Error when it could not be filled. */
export async function inFilledDirectory(
  filling: Filling,
  measure: (directory: string, made: Made) => Promise<void>,
): Promise<void> {
  const directory = filling.keep ?? mkdtempSync(join(tmpdir(), "bench-size-"));
  try {
    const file = join(directory, "made.json");
    if (!existsSync(file)) fill(directory, filling);
    await measure(directory, JSON.parse(readFileSync(file, "utf8")));
  } finally {
    if (filling.keep === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

function fill(directory: string, { owners, agents }: Filling): void {
  const done = spawnSync(process.execPath, [FILL, directory, "--owners", owners, "--agents", agents], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (done.status !== 0) throw new Error("the data directory was not filled");
}
