/** Agents per owner of the last week: a point each ten minutes, the oldest go, and a restart forgets none. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { RatioHistory } from "./ratio-history.ts";

const STEP = 600;
const WEEK = 1008;

function openPath(): string {
  const root = mkdtempSync(join(tmpdir(), "tw-ratio-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return join(root, "agents-per-owner");
}

const point = (at: number, agents = 1) => ({ at, owners: 1, agents });

it("keeps one point of each step, also over a restart, and none of a clock that was set back", () => {
  const path = openPath();
  const history = new RatioHistory(path);
  for (const at of [1000, 1000 + STEP - 1, 1000 + STEP, 500]) history.note(point(at, at));
  const kept = [point(1000, 1000), point(1000 + STEP, 1000 + STEP)];
  expect(history.points).toEqual(kept);
  appendFileSync(path, "no point\n12 x 4\n");
  expect(new RatioHistory(path).points).toEqual(kept);
});

it("forgets what is older than a week", () => {
  const path = openPath();
  writeFileSync(path, Array.from({ length: WEEK }, (_, step) => `${step * STEP} 1 1\n`).join(""));
  const history = new RatioHistory(path);
  history.note(point(WEEK * STEP));
  expect(history.points).toHaveLength(WEEK);
  expect(new RatioHistory(path).points.at(0)).toEqual(point(STEP));
});
