/** Work that a registration brings: found, checked, and worth nothing for another request. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { findWork, WORK, workBitsOf } from "./registration-work.ts";

it("is found for any proof of possession, and has the bits that were asked for", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string(), fc.integer({ min: 0, max: 10 }), async (possession, bits) => {
      const work = await findWork(possession, { bits, pause: async () => undefined });
      expect(work).toMatch(WORK);
      expect(workBitsOf(possession, work)).toBeGreaterThanOrEqual(bits);
    }),
    { numRuns: 50 },
  );
});

it("is the same number in every language", () => {
  // python/tests/test_work.py has the same.
  expect(workBitsOf('{"the":"proof"}', "1733")).toBe(13);
});

it("is worth nothing with another proof", async () => {
  const work = await findWork("one", { bits: 14, pause: async () => undefined });
  expect(workBitsOf("another", work)).toBeLessThan(14);
});

it("lets the process go on while it is looked for", async () => {
  let pauses = 0;
  await findWork("another one", {
    bits: 17,
    pause: async () => {
      pauses += 1;
    },
  });
  expect(pauses).toBeGreaterThan(0);
});

it.each(["", "-1", "01", "1e3", " 1", "1".repeat(16), "x"])("is no %j", (text) => {
  expect(text).not.toMatch(WORK);
});
