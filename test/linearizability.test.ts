/** The checker of histories: it must pass what one object could have done, and find out what none could. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stoppedByMany } from "./support/histories.ts";
import { findLinearization, type Model, type Operation, Recorder } from "./support/linearizability.ts";

type Input = { readonly write: number } | "read";
type Register = Operation<Input, number>;

const REGISTER: Model<number, Input, number> = {
  initial: 0,
  step: (state, input, output) => {
    if (input !== "read") return input.write;
    return output === undefined || output === state ? state : undefined;
  },
  format: String,
};

const write = (value: number, askedAt: number, answeredAt: number): Register => ({
  input: { write: value },
  output: Number.isFinite(answeredAt) ? value : undefined,
  askedAt,
  answeredAt,
});
const read = (output: number, askedAt: number, answeredAt: number): Register => ({
  input: "read",
  output,
  askedAt,
  answeredAt,
});
const NEVER = Number.POSITIVE_INFINITY;

describe("a history of a register", () => {
  it.each([
    ["one after the other", [write(1, 1, 2), read(1, 3, 4)]],
    ["a read beside a write, of before it", [write(1, 1, 4), read(0, 2, 3)]],
    ["a read beside a write, of after it", [write(1, 1, 4), read(1, 2, 3)]],
    [
      "two writes at once, the one that was asked later first",
      [write(1, 1, 6), write(2, 2, 3), read(2, 4, 5), read(1, 7, 8)],
    ],
    [
      "a write without an answer that was done much later",
      [write(1, 1, NEVER), read(0, 2, 3), read(1, 4, 5)],
    ],
    ["a write without an answer that was never done", [write(1, 1, NEVER), read(0, 2, 3), read(0, 4, 5)]],
  ])("passes: %s", (_, history) => {
    expect(findLinearization(history, REGISTER)).toBeDefined();
  });

  it.each([
    ["a read of before a write that was answered", [write(1, 1, 2), read(0, 3, 4)]],
    ["a value that nobody wrote", [write(1, 1, 2), read(2, 3, 4)]],
    ["two reads beside a write, the new value first", [write(1, 1, 8), read(1, 2, 3), read(0, 4, 5)]],
    [
      "a write without an answer that was seen and then gone",
      [write(1, 1, NEVER), read(1, 2, 3), read(0, 4, 5)],
    ],
    ["a write seen before it was asked for", [read(1, 1, 2), write(1, 3, 4)]],
    [
      "two readers that see two writes in two orders",
      [write(1, 1, 20), write(2, 2, 21), read(1, 3, 4), read(2, 5, 6), read(1, 7, 8)],
    ],
  ])("finds out: %s", (_, history) => {
    expect(findLinearization(history, REGISTER)).toBeUndefined();
  });

  it("says in which order it was", () => {
    const [late, early] = [write(1, 1, 6), write(2, 2, 3)];
    expect(findLinearization([late, early, read(1, 7, 8)], REGISTER)).toEqual([early, late, read(1, 7, 8)]);
  });

  it("refuses to speak of nothing", () => {
    expect(() => findLinearization([write(1, 1, NEVER)], REGISTER)).toThrow("without an answer");
  });
});

/** What a real object does one after the other, stretched so that operations overlap. */
const overlapping = fc.array(
  fc.record({
    isRead: fc.boolean(),
    value: fc.integer({ min: 1, max: 4 }),
    before: fc.nat(30),
    after: fc.nat(30),
    isLost: fc.boolean(),
  }),
  { minLength: 1, maxLength: 30 },
);

function stretch(plan: typeof overlapping extends fc.Arbitrary<infer Plan> ? Plan : never): Register[] {
  let state = 0;
  return plan.map(({ isRead, value, before, after, isLost }, index) => {
    if (!isRead) state = value;
    const askedAt = 10 * index - before;
    const answeredAt = !isRead && isLost ? NEVER : 10 * index + after;
    return isRead ? read(state, askedAt, answeredAt) : write(value, askedAt, answeredAt);
  });
}

describe("a stop at several servers", () => {
  const at = (
    input: "use" | "stop",
    output: "allowed" | "refused" | "stopped",
    askedAt: number,
    answeredAt: number,
  ) => ({ input, output, askedAt, answeredAt }) as const;
  const isOrdered = (history: readonly ReturnType<typeof at>[]) => {
    const { history: steps, model } = stoppedByMany({ history });
    return findLinearization(steps, model) !== undefined;
  };
  const stop = at("stop", "stopped", 10, 20);

  it("may be known to one and not yet to another until it is answered", () => {
    expect(isOrdered([stop, at("use", "refused", 11, 12), at("use", "allowed", 13, 14)])).toBe(true);
  });

  it("is known to nobody before it is asked for, and to everybody once it is answered", () => {
    expect(isOrdered([stop, at("use", "refused", 1, 9)])).toBe(false);
    expect(isOrdered([stop, at("use", "allowed", 21, 22)])).toBe(false);
    expect(isOrdered([stop, at("use", "refused", 21, 22), at("use", "allowed", 1, 9)])).toBe(true);
  });
});

describe("any history", () => {
  it("of one object passes, however its operations overlap and whatever was not answered", () => {
    fc.assert(
      fc.property(overlapping, (plan) => {
        const history = stretch(plan);
        fc.pre(history.some(({ output }) => output !== undefined));
        expect(findLinearization(history, REGISTER)).toBeDefined();
      }),
      { numRuns: 200 },
    );
  });

  it("in which a read answers what was never there does not", () => {
    fc.assert(
      fc.property(overlapping, (plan) => {
        const history = [...stretch(plan), read(9, 400, 401)];
        expect(findLinearization(history, REGISTER)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });
});

describe("a recorder", () => {
  it("keeps who overlapped whom, and takes a broken connection for no answer", async () => {
    const recorder = new Recorder<string, string>();
    const { promise, resolve } = Promise.withResolvers<string>();
    const slow = recorder.record("slow", () => promise);
    await recorder.record("broken", () => Promise.reject(new Error("reset")));
    await recorder.record("quick", async () => "done");
    resolve("done");
    await slow;
    expect(recorder.history).toEqual([
      { input: "broken", output: undefined, askedAt: 2, answeredAt: NEVER },
      { input: "quick", output: "done", askedAt: 3, answeredAt: 4 },
      { input: "slow", output: "done", askedAt: 1, answeredAt: 5 },
    ]);
  });
});
