/** Which commands are committed together, and which first. */
import { expect, it } from "vitest";
import { contextAt, NOW_MS } from "./commands/fixture.test.support.ts";
import type { WriterRequest } from "./writer-protocol.ts";
import { WriterQueue } from "./writer-queue.ts";

function marks(id: number): WriterRequest {
  return { kind: "markSequenced", outboxIds: [], id };
}

function stop(id: number): WriterRequest {
  const target = { kind: "instance", id: "inst-A" } as const;
  return { kind: "revoke", command: { context: contextAt(NOW_MS), target, reason: "" }, id };
}

/** Ids of every group until nothing waits. */
function groupsOf(queue: WriterQueue): (readonly number[])[] {
  const groups: (readonly number[])[] = [];
  while (!queue.isEmpty) groups.push(queue.takeGroup().map(({ id }) => id));
  return groups;
}

it("J11 a stop is the next group, alone, however much waits", () => {
  const queue = new WriterQueue();
  for (let id = 0; id < 200; id += 1) queue.push(marks(id));
  queue.takeGroup();
  queue.push(stop(1000));
  queue.push(stop(1001));
  const groups = groupsOf(queue);
  expect(groups[0]).toEqual([1000, 1001]);
  expect(groups.slice(1).flat()).toEqual(Array.from({ length: 136 }, (_unused, index) => 64 + index));
});

it("whoever stops without end keeps nobody else from being served", () => {
  const queue = new WriterQueue();
  for (let id = 0; id < 200; id += 1) queue.push(stop(id));
  queue.push(marks(1000));
  expect(queue.takeGroup().map(({ id }) => id)).toHaveLength(64);
  expect(queue.takeGroup().map(({ id }) => id)).toEqual([1000]);
  expect(groupsOf(queue).flat()).toEqual(Array.from({ length: 136 }, (_unused, index) => 64 + index));
});

it("nothing is taken when nothing waits, and a stop that waits alone is taken again at once", () => {
  const queue = new WriterQueue();
  expect([queue.isEmpty, queue.takeGroup()]).toEqual([true, []]);
  queue.push(stop(1));
  expect(queue.takeGroup()).toHaveLength(1);
  queue.push(stop(2));
  expect(queue.takeGroup()).toHaveLength(1);
  expect(queue.isEmpty).toBe(true);
});
