/**
 * The attack suite: `node attacks/run.ts [--only ID[,ID]] [--json] [--no-teeth] [--full] [--jobs N]
 * [--retry]`.
 *
 * Plays every scenario below `attacks/<stage>/` against real server processes, then once more against a server with
 * the scenario's own weakening, where it must notice that the attack gets through. Prints one line a scenario and a
 * last line `N passed, N failed` (one JSON document with `--json`); fails when there was nothing to play. A scenario for
 * which the machine lacks something counts as neither, loudly; where `CI` is set it is played all the same, and fails.
 * With `--retry` what failed without the attack getting through is played once more, alone, and named if it passes then.
 */
import { parseArgs } from "node:util";
import { requireFit } from "./runner/fit.ts";
import { type PlayOptions, playAgain, playAll } from "./runner/play.ts";
import { printResult, writeReport } from "./runner/report.ts";
import { findScenarios } from "./runner/scenarios.ts";

const DEFAULT_JOBS = 2;

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    json: { type: "boolean", default: false },
    "no-teeth": { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    jobs: { type: "string", default: String(DEFAULT_JOBS) },
    retry: { type: "boolean", default: false },
  },
});
if (options.full) process.env.TW_ATTACK_FULL = "1";

const all = await findScenarios();
requireFit(all);
const ids = options.only?.toLowerCase().split(",");
const wanted = all.filter(({ id }) => ids === undefined || ids.includes(id.toLowerCase()));
const isBinding = process.env.CI !== undefined && process.env.CI !== "";
const unplayable = isBinding
  ? []
  : wanted.flatMap(({ id, missing }) => {
      const lacks = missing?.();
      return lacks === undefined ? [] : [{ id, lacks }];
    });
const playable = wanted.filter(({ id }) => unplayable.every((one) => one.id !== id));
const startedMs = Date.now();
const play: PlayOptions = {
  jobs: Number(options.jobs),
  hasTeeth: !options["no-teeth"],
  onResult: (result) => (options.json ? undefined : printResult(result)),
};
const first = await playAll(playable, play);
const { results, takenBack } = options.retry
  ? await playAgain(playable, first, play)
  : { results: first, takenBack: [] };
const failed = results.filter(({ failure }) => failure !== undefined).length;
const passed = results.length - failed;
const report = writeReport(results, {
  seconds: (Date.now() - startedMs) / 1000,
  hasTeeth: !options["no-teeth"],
});
const summary = `${passed} passed, ${failed} failed`;
for (const { id, lacks } of unplayable)
  console.error(`attack: ${id} WAS NOT PLAYED and shows nothing: this machine lacks ${lacks}`);
for (const { id, failure } of takenBack)
  console.error(`passed at the second try: ${id}: ${failure?.slice(0, 300).replaceAll(/\s+/g, " ")}`);
if (playable.length === 0) console.error("attack: there was no scenario to play");
if (options.json) console.log(JSON.stringify({ passed, failed, unplayed: unplayable, results }, null, 2));
else console.log(`\nReport: ${report}\n${summary}`);
// A weakened run breaks off in the middle, and what its scenario had opened would keep this process alive for ever.
process.exit(failed > 0 || playable.length === 0 ? 1 : 0);
