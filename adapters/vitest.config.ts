/** Tests that need the frameworks, which only `./dev adapters` installs. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A decision that a loaded machine makes too late is a refusal, as it must be.
    retry: 1,
    passWithNoTests: false,
  },
});
