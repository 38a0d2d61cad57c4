/** Has a data directory filled, by a process of its own: its memory is not that of who measures. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const FILL = join(import.meta.dirname, "fill.ts");

/** @throws Error when it did not come to its end. */
export function fillDirectory(
  directory: string,
  { owners, agents }: { readonly owners: string; readonly agents: string },
): void {
  const done = spawnSync(process.execPath, [FILL, directory, "--owners", owners, "--agents", agents], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (done.status !== 0) throw new Error("the data directory was not filled");
}
