/** Hears one judge: its line on the screen, and whether it passed, failed, or did not sit. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { type Findings, type Judge, JudgeNotBrought, JudgeUnavailable, type Lab } from "./judge.ts";

/** Lines of what went wrong that are shown of one judge. */
const MAX_WRONG_LINES = 20;

export type Outcome = "passed" | "failed" | "skipped";

/**
 * What a judge said, in one line and the lines of what went wrong.
 *
 * @param turns - how often one that broke off before it said anything is heard; what it found wrong stands.
 */
export async function hear(judge: Judge, lab: Lab, turns: number): Promise<Outcome> {
  const startedAt = performance.now();
  try {
    return report(judge, await judge.run(lab), (performance.now() - startedAt) / 1000);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    if (isSkipped(error)) {
      console.log(`SKIP ${judge.name}: NOT JUDGED, ${said}`);
      return "skipped";
    }
    const why = error instanceof JudgeUnavailable ? said : (error instanceof Error && error.stack) || said;
    if (turns > 1) {
      // Whatever the first try left behind is not in the way of the second.
      const scratch = mkdtempSync(join(lab.scratch, "again-"));
      const outcome = await hear(judge, { ...lab, scratch }, turns - 1);
      const verdict = outcome === "passed" ? "passed at the second try" : "     the first try";
      console.log(`${verdict}: ${judge.name}: ${why}`);
      return outcome;
    }
    console.log(`FAIL ${judge.name}: ${why}`);
    return "failed";
  }
}

/** In CI only for want of a program that nobody promised to bring. */
function isSkipped(error: unknown): boolean {
  return error instanceof JudgeNotBrought || (error instanceof JudgeUnavailable && !process.env.CI);
}

function report({ name }: Judge, { accepted, refused, wrong, note }: Findings, seconds: number): Outcome {
  const hasLooked = accepted > 0 && refused > 0;
  const isGood = hasLooked && wrong.length === 0;
  const remark = note === undefined ? "" : `; ${note}`;
  const counts = `${accepted} accepted, ${refused} refused, ${wrong.length} wrong${remark}`;
  console.log(`${isGood ? "ok  " : "FAIL"} ${name}: ${counts} (${seconds.toFixed(1)} s)`);
  if (!hasLooked) console.log("       looked at nothing");
  for (const line of wrong.slice(0, MAX_WRONG_LINES)) console.log(`       ${line}`);
  return isGood ? "passed" : "failed";
}
