/** What a relay remembers of stops is bounded, and it says when it forgets one. */
import { expect, it } from "vitest";
import { HeardStops } from "./heard-stops.ts";

it("the latest stops are remembered, and it is said when older ones are forgotten for them", () => {
  const stops = new HeardStops(2);
  const forgetting = ["a", "b", "b", "c", "d"].map((id) => stops.add(id));
  expect(forgetting).toEqual([false, false, false, false, false]);
  expect(["a", "b", "c", "d"].map((id) => stops.has(id))).toEqual([true, true, true, true]);
  expect(stops.add("e")).toBe(true);
  expect(["a", "b", "c", "d", "e"].map((id) => stops.has(id))).toEqual([false, false, true, true, true]);
  expect(stops.add("f")).toBe(false);
});
