/** Checks of the suite itself, before anything is played. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Scenario } from "../scenario.ts";
import { applyEdits } from "../source-edit.ts";
import { ROOT } from "../support/child.ts";
import { editsOf, FAULT_NAMES, WEAKENING_NAMES } from "../weakenings.ts";

/** @throws Error for an id that is used twice, an edit that does not fit its file, or a weakening without a scenario. */
export function requireFit(scenarios: readonly Scenario[]): void {
  const ids = scenarios.map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw new Error(`two scenarios are called ${twice}`);
  for (const name of [...WEAKENING_NAMES, ...FAULT_NAMES]) {
    for (const [file, edits] of Map.groupBy(editsOf([name]), (edit) => edit.file)) {
      applyEdits(readFileSync(join(ROOT, file), "utf8"), edits);
    }
  }
  const used = new Set<string>(scenarios.map(({ weakening }) => weakening));
  const idle = WEAKENING_NAMES.find((name) => !used.has(name));
  if (idle !== undefined) throw new Error(`no scenario is shown to notice the weakening ${idle}`);
}
