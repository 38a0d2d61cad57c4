/**
 * `./dev bench scale`: what 1.3 billion agents need, from what was measured on one machine.
 *
 *   node bench/scale/run.ts [--seed 1] [--write]
 *
 * Measures nothing itself: `constants.ts` and `hops.json` have the figures and where they are from. Prints the result as
 * JSON; `--write` renews `docs/scale.md` and its pictures, which a test compares with the simulation.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readHops } from "./stop.ts";
import { drawScale, runScale, writeInto } from "./tables.ts";

const DOCS = join(import.meta.dirname, "..", "..", "docs");
const PAGE = join(DOCS, "scale.md");

const { values } = parseArgs({
  options: { seed: { type: "string", default: "1" }, write: { type: "boolean", default: false } },
});
const report = runScale(readHops(), Number(values.seed));
if (values.write) {
  writeFileSync(PAGE, writeInto(readFileSync(PAGE, "utf8"), report));
  mkdirSync(join(DOCS, "scale"), { recursive: true });
  for (const [name, picture] of Object.entries(drawScale(report)))
    writeFileSync(join(DOCS, "scale", name), picture);
}
const stops = report.stops.map(({ lastMs: _lastMs, ...stop }) => stop);
console.log(JSON.stringify({ ...report, stops }, null, 2));
