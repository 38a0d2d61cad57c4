/**
 * `./dev bench report`: writes `bench/REPORT.md` from what the other benchmarks kept in `.cache/bench`.
 *
 *   node bench/claims/run.ts [--from DIRECTORY] [--to FILE]
 *
 * Measures nothing. What was not run here is named as that.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { RESULT_NAMES, RESULTS } from "../keep.ts";
import { readResults } from "./results.ts";
import { writeReport } from "./write.ts";

const { values } = parseArgs({
  options: {
    from: { type: "string", default: RESULTS },
    to: { type: "string", default: join(import.meta.dirname, "..", "REPORT.md") },
  },
});
writeFileSync(values.to, writeReport(readResults(values.from, RESULT_NAMES)));
console.log(`written: ${values.to}`);
