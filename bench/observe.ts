/** What the processes of a benchmark are watched by, besides being timed: profiles, and counts of what they do. */
import { join } from "node:path";

const COUNT = join(import.meta.dirname, "cost", "count.ts");

/** Arguments for Node and variables for a process under measurement; read anew each time, since runs may set them. */
export function observation(): {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
} {
  const { TRUSTWARDEN_BENCH_PROFILE: profiles, TRUSTWARDEN_BENCH_COUNTS: counts } = process.env;
  return {
    args: [
      ...(profiles === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profiles}`]),
      ...(counts === undefined ? [] : ["--import", COUNT]),
    ],
    env: counts === undefined ? {} : { TRUSTWARDEN_BENCH_COUNTS: counts },
  };
}
