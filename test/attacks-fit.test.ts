/** The attack suite fits the code that it weakens: what its start refuses is found here, before anybody plays it. */
import { expect, it } from "vitest";
import { requireFit } from "../attacks/runner/fit.ts";
import { findScenarios } from "../attacks/runner/scenarios.ts";

it("every weakening fits its file, and every scenario has one that it notices", async () => {
  const scenarios = await findScenarios();
  expect(scenarios.length).toBeGreaterThan(100);
  requireFit(scenarios);
});
