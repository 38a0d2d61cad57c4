/** What a soak says of a process that leaks, one that fills a cache, and one whose loop is late. */
import { describe, expect, it } from "vitest";
import { FORMS, judgeSoak, type Sample, slopeMibPerHour } from "./soak-verdict.ts";

const run = (minutes: number, residentAt: (seconds: number) => number, loopP99Ms = 20): readonly Sample[] =>
  Array.from({ length: minutes * 12 }, (_, index) => ({
    atSeconds: index * 5,
    residentMib: residentAt(index * 5),
    loopP99Ms,
  }));

describe("a soak", () => {
  it("measures a line as its slope", () => {
    expect(slopeMibPerHour(run(15, (seconds) => 100 + seconds / 3.6))).toBeCloseTo(1_000, 6);
    expect(slopeMibPerHour([])).toBe(0);
  });

  it("passes a plateau that is reached while it fills, with noise on it", () => {
    const samples = run(15, (seconds) => Math.min(400, 100 + seconds) + (seconds % 3) * 4);
    expect(judgeSoak({ samples, grownDescriptors: 8 }, FORMS.quarter)).toEqual([]);
  });

  it.each([
    ["ci", 3, 7_000],
    ["quarter", 15, 300],
    ["day", 1_440, 3],
  ] as const)("fails a leak in its form %s", (name, minutes, mibPerHour) => {
    const leaking = run(minutes, (seconds) => 200 + (seconds / 3_600) * mibPerHour);
    expect(judgeSoak({ samples: leaking, grownDescriptors: 0 }, FORMS[name])).toEqual([
      expect.stringMatching(/^resident memory grows by/),
    ]);
    const steady = run(minutes, () => 200);
    expect(judgeSoak({ samples: steady, grownDescriptors: 0 }, FORMS[name])).toEqual([]);
  });

  it("fails descriptors that stay, a loop that is late, and a run that shows nothing", () => {
    const late = run(15, () => 200, 400);
    expect(judgeSoak({ samples: late, grownDescriptors: 9 }, FORMS.quarter)).toEqual([
      "9 descriptors more than at the start",
      expect.stringMatching(/^the event loop was later than 350 ms in/),
    ]);
    expect(judgeSoak({ samples: [], grownDescriptors: 0 }, FORMS.ci)).toEqual([
      "the run was too short to be judged",
    ]);
  });
});
