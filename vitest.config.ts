/** Test discovery: unit tests beside the code, the path and the house rules in `test/`. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{core,server,sdk,node,cli,examples,test,bench}/**/*.test.ts"],
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 30_000,
    passWithNoTests: false,
  },
});
