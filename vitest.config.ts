/** Test discovery: unit tests beside the code, the path and the house rules in `test/`. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{core,server,sdk,node,cli,console,examples,test,bench}/**/*.test.ts"],
    pool: "forks",
    // Files wait for their servers half of their time; by itself the runner leaves one of two cores idle.
    maxWorkers: 2,
    // Against hanging, not against slowness: a loaded machine starts a server in ten times the usual time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    passWithNoTests: false,
  },
});
