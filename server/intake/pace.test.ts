/** How many requests are let in, by how late the thread comes round. */
import { afterEach, describe, expect, it } from "vitest";
import { Pace } from "./pace.ts";

let nowMs = 0;
let pace: Pace;

function createPace(most: number): void {
  nowMs = 0;
  pace = new Pace({ most, delayMs: 100, monoMs: () => nowMs });
}

/** Looks again after so many milliseconds. */
function lookAfter(ms: number): number {
  nowMs += ms;
  pace.look();
  return pace.limit;
}

describe("the pace of a server's thread", () => {
  afterEach(() => pace.close());

  it("lets all in as long as it comes round in time", () => {
    createPace(1000);
    expect([lookAfter(50), lookAfter(150)]).toEqual([1000, 1000]);
  });

  it("lets fewer in than were on their way when it came late", () => {
    createPace(1000);
    pace.noteHeld(300);
    expect(lookAfter(151)).toBe(210);
    pace.noteHeld(200);
    expect(lookAfter(151)).toBe(140);
  });

  it("lets fewer in when one of them waited too long for its turn, though the thread comes round in time", () => {
    createPace(1000);
    pace.noteHeld(300);
    for (const waitedMs of [20, 101, 40]) pace.noteWaited(waitedMs);
    expect(lookAfter(50)).toBe(210);
    pace.noteHeld(200);
    pace.noteRefused();
    pace.noteWaited(100);
    expect(lookAfter(50)).toBe(210);
  });

  it("never lets fewer in than a floor, however late it is", () => {
    createPace(1000);
    for (let round = 0; round < 20; round += 1) lookAfter(5000);
    expect(pace.limit).toBe(64);
    createPace(8);
    expect(lookAfter(5000)).toBe(8);
  });

  it("lets more in again where somebody is refused and it is in time, and never more than it may", () => {
    createPace(100);
    for (let round = 0; round < 5; round += 1) lookAfter(5000);
    pace.noteRefused();
    expect(lookAfter(50)).toBe(67);
    pace.noteRefused();
    expect(lookAfter(140)).toBe(67);
    for (let round = 0; round < 30; round += 1) lookAfter(50);
    expect(pace.limit).toBe(100);
  });
});
