/** How fast an owner stops jobs: sixty a minute, and what is alive without a limit. */
import { beforeEach, expect, test } from "vitest";
import type { StopTarget } from "../revocation-ports.ts";
import { contextAt, createTestStore, NOW_MS, type TestStore } from "./fixture.test.support.ts";

let store: TestStore;
let alice: string;

beforeEach(() => {
  store = createTestStore();
  alice = store.owner("alice");
});

function stop(
  target: StopTarget,
  { ownerId = alice, nowMs = NOW_MS }: { ownerId?: string | null; nowMs?: number } = {},
) {
  return store.run({ kind: "revoke", command: { context: contextAt(nowMs), target, ownerId, reason: "" } });
}

const job = (number: number): StopTarget => ({ kind: "job", id: `job-${number}` });

test("sixty within a minute are taken, and the next one waits until the first is a minute old", () => {
  for (let number = 0; number < 60; number += 1) stop(job(number));
  const before = store.dump();
  expect(() => stop(job(60))).toThrow(
    expect.objectContaining({ code: "rate_limited", details: { ownerId: alice, retryAfterSeconds: 60 } }),
  );
  expect(() => stop(job(60), { nowMs: NOW_MS + 59_000 })).toThrow(
    expect.objectContaining({ code: "rate_limited" }),
  );
  expect(store.dump()).toEqual(before);
  expect(() => stop(job(60), { nowMs: NOW_MS + 60_000 })).not.toThrow();
});

test("a stop that is made again is one more", () => {
  for (let number = 0; number < 60; number += 1) stop(job(0));
  expect(() => stop(job(0))).toThrow(expect.objectContaining({ code: "rate_limited" }));
});

test("another owner, an operator, and whatever is alive are stopped all the same", () => {
  for (let number = 0; number < 60; number += 1) stop(job(number));
  expect(() => stop(job(0), { ownerId: store.owner("bob") })).not.toThrow();
  expect(() => stop(job(61), { ownerId: null })).not.toThrow();
  const { instanceId } = store.root(alice);
  expect(() => stop({ kind: "instance", id: instanceId })).not.toThrow();
  expect(() => stop({ kind: "owner", id: alice })).not.toThrow();
});
