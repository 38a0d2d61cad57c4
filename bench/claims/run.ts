/**
 * `./dev bench report`: writes `bench/REPORT.md` from what the other benchmarks kept in `.cache/bench`.
 *
 *   node bench/claims/run.ts [--measure] [--quick] [--only NAME…] [--from DIRECTORY] [--to FILE]
 *
 * Measures nothing unless it is told to: `--measure` runs every benchmark of the report first, one after the other, `--quick` the
 * short form of each (at most four minutes; about a quarter of an hour in all). What was not run here is named as that.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { RESULT_NAMES, RESULTS, type ResultName } from "../keep.ts";
import { WrongUse } from "../wrong-use.ts";
import { measureAll } from "./measure.ts";
import { readResults } from "./results.ts";
import { writeReport } from "./write.ts";

const { values } = parseArgs({
  options: {
    measure: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    from: { type: "string", default: RESULTS },
    to: { type: "string", default: join(import.meta.dirname, "..", "REPORT.md") },
  },
});
const names = values.only?.map(findName) ?? RESULT_NAMES;
const failed = values.measure ? await measureAll(names, values.quick) : [];
writeFileSync(values.to, writeReport(readResults(values.from, RESULT_NAMES)));
console.log(`written: ${values.to}`);
if (failed.length > 0) process.exitCode = 1;

function findName(wanted: string): ResultName {
  const found = RESULT_NAMES.find((name) => name === wanted);
  if (found !== undefined) return found;
  throw new WrongUse(`The report has no benchmark '${wanted}'. It has: ${RESULT_NAMES.join(", ")}.`);
}
