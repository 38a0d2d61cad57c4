/** Whose turn of the thread is next, and what comes between two rounds; the clock is the test's. */
import { beforeEach, expect, it } from "vitest";
import { LoopTurns } from "./loop-turns.ts";

let nowMs: number;
let waited: number[];
let order: string[];
let turns: LoopTurns;

beforeEach(() => {
  nowMs = 0;
  waited = [];
  order = [];
  turns = new LoopTurns({ monoMs: () => nowMs, onWaited: (ms) => waited.push(ms) });
});

/** Works as long as it says, after awaits that wait for nothing. */
async function work(flow: string, ms: number): Promise<void> {
  await turns.wait(flow);
  for (let step = 0; step < 5; step += 1) await Promise.resolve();
  nowMs += ms;
  order.push(flow);
}

it("owners take turns, however much one of them brought before the others came", async () => {
  const flood = Array.from({ length: 6 }, () => work("flooder", 1));
  await Promise.all([...flood, work("modest", 1), work("other", 1)]);
  expect(order.slice(0, 3).toSorted()).toEqual(["flooder", "modest", "other"]);
  expect(order).toHaveLength(8);
});

it("what stops something comes after one round of work, not after all of it", async () => {
  const flood = Promise.all(Array.from({ length: 40 }, () => work("flooder", 4)));
  // As a socket that brings a stop: it is heard between two rounds.
  setImmediate(() => order.push("stop"));
  await flood;
  // Three of four milliseconds fill a round of ten.
  expect(order.indexOf("stop")).toBeLessThanOrEqual(3);
  expect(order).toHaveLength(41);
});

it("says how long each waited", async () => {
  await Promise.all([work("a", 7), work("b", 7), work("c", 7)]);
  expect(waited).toEqual([0, 7, 14]);
  await work("a", 0);
  expect(waited.at(-1)).toBe(0);
});

it("a turn that fails keeps nobody else waiting", async () => {
  const failed = turns.wait("a").then(() => {
    throw new Error("refused");
  });
  await Promise.all([expect(failed).rejects.toThrow("refused"), work("b", 1)]);
  expect(order).toEqual(["b"]);
});
