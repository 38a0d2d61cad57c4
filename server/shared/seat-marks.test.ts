/** The mark goes along with the shards that a server followed, and nowhere else. */
import { raiseMark } from "@trustwarden/core/agentledger/log-state.ts";
import { EMPTY_ROOT } from "@trustwarden/core/agentledger/merkle.ts";
import type { HighWaterMark } from "@trustwarden/core/agentledger/ports.ts";
import { expect, test } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { SeatMarks } from "./seat-marks.ts";

const markOf = (origin: string): HighWaterMark => ({ origin, size: 7, root: new Uint8Array(32), epoch: 4 });

function marksOf(start: HighWaterMark | null, followed: readonly string[]) {
  let mark = start;
  const highWater = {
    read: async () => mark,
    raise: async (raised: Parameters<typeof raiseMark>[1]) => {
      mark = raiseMark(mark, raised);
    },
  };
  const shards = followed.map((origin) => ({ origin }));
  return new SeatMarks({ highWater, log: { refresh: async () => undefined, shards } });
}

test.each([
  ["the last one", "c"],
  ["one that nobody has begun", "d"],
])("of a shard that others began it is there, with nothing in it: %s", async (_, opened) => {
  const marks = marksOf(markOf("a"), ["a", "b", "c"]);
  marks.open(opened);
  expect(await marks.read()).toEqual({ origin: opened, size: 0, root: EMPTY_ROOT, epoch: 4 });
});

test("of the shard that it knows it stays what it was", async () => {
  const marks = marksOf(markOf("c"), ["a", "b", "c"]);
  marks.open("c");
  expect(await marks.read()).toEqual(markOf("c"));
});

test("none is made where there was none, and none of another log", async () => {
  for (const mark of [null, markOf("elsewhere")]) {
    const marks = marksOf(mark, ["a", "b"]);
    marks.open("b");
    expect(await marks.read()).toEqual(mark);
  }
});

test("a shard that has ended is not taken", async () => {
  const marks = marksOf(markOf("a"), ["a", "b"]);
  marks.open("a");
  await expectRejection(marks.read(), "data_locked");
});
