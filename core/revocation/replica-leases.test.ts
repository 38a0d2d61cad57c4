/** When a revocation is over at the verifiers of several servers, and how long each of these may let them go on. */
import { describe, expect, test } from "vitest";
import { ReplicaLeases, type ReplicaState } from "./replica-leases.ts";

const LONGEST_MS = 735;
const START = 10_000;
/** Long after the start: nothing of the process before is left. */
const NOW = START + 5_000;
const other = (change: Partial<ReplicaState> = {}): ReplicaState => ({
  name: "other",
  beats: 7,
  acked: 3,
  leases: 2,
  ...change,
});

describe("what a server may give", () => {
  test("lasts one lease from the sending of a beat, however late its answer comes", () => {
    const leases = new ReplicaLeases(START);
    expect(leases.leftMs(9, NOW)).toBe(0);
    leases.hear({ sentAtMs: NOW, epoch: 3, others: [] }, NOW + 300);
    expect(leases.leftMs(3, NOW + 300)).toBe(400);
    expect(leases.leftMs(3, NOW + 700)).toBe(0);
  });

  test("begins when the epoch that came with it is applied here, and until then is what was given before", () => {
    const leases = new ReplicaLeases(START);
    leases.hear({ sentAtMs: NOW, epoch: 3, others: [] }, NOW);
    leases.hear({ sentAtMs: NOW + 100, epoch: 4, others: [] }, NOW + 110);
    expect(leases.leftMs(3, NOW + 200)).toBe(500);
    expect(leases.leftMs(4, NOW + 200)).toBe(600);
  });
});

describe("a revocation", () => {
  test("is over at once where a beat that was sent after it tells of nobody else", () => {
    const leases = new ReplicaLeases(START);
    const barrier = leases.begin(4, NOW);
    expect(leases.completion(barrier, NOW)).toBeNull();
    leases.hear({ sentAtMs: NOW + 1, epoch: 4, others: [] }, NOW + 2);
    expect(leases.completion(barrier, NOW + 2)).toEqual({ acked: 0, expired: 0 });
  });

  test("is not over by what was asked before it was committed", () => {
    const leases = new ReplicaLeases(START);
    const barrier = leases.begin(4, NOW);
    leases.hear({ sentAtMs: NOW - 1, epoch: 3, others: [] }, NOW + 2);
    expect(leases.completion(barrier, NOW + 2)).toBeNull();
  });

  test("waits for each server that lives: until it acknowledges, or one lease from the commit", () => {
    const leases = new ReplicaLeases(START);
    const barrier = leases.begin(4, NOW);
    leases.hear({ sentAtMs: NOW + 1, epoch: 4, others: [other()] }, NOW + 2);
    expect(leases.completion(barrier, NOW + 600)).toBeNull();
    expect(leases.completion(barrier, NOW + LONGEST_MS)).toEqual({ acked: 0, expired: 2 });
    leases.hear({ sentAtMs: NOW + 50, epoch: 4, others: [other({ beats: 8, acked: 4 })] }, NOW + 51);
    expect(leases.completion(barrier, NOW + 51)).toEqual({ acked: 2, expired: 0 });
  });

  test("does not wait for a server that has been silent for so long that nobody can hold its lease", () => {
    const leases = new ReplicaLeases(START);
    const dead = other();
    leases.hear({ sentAtMs: START, epoch: 3, others: [dead] }, START);
    const barrier = leases.begin(4, NOW);
    leases.hear({ sentAtMs: NOW + 1, epoch: 4, others: [dead] }, NOW + 2);
    expect(leases.completion(barrier, NOW + 2)).toEqual({ acked: 0, expired: 0 });
  });

  test("waits for a server that the store tells nothing of any more until nobody can hold its lease", () => {
    const leases = new ReplicaLeases(START);
    leases.hear({ sentAtMs: NOW - 10, epoch: 3, others: [other()] }, NOW - 5);
    const barrier = leases.begin(4, NOW);
    leases.hear({ sentAtMs: NOW + 1, epoch: 4, others: [] }, NOW + 2);
    expect(leases.completion(barrier, NOW + 600)).toBeNull();
    expect(leases.completion(barrier, NOW + LONGEST_MS)).toEqual({ acked: 0, expired: 2 });
    leases.hear({ sentAtMs: NOW + 5_000, epoch: 4, others: [] }, NOW + 5_001);
    expect(leases.othersAt(NOW + 5_001)).toEqual([]);
  });

  test("waits again for one that comes back after it was silent", () => {
    const leases = new ReplicaLeases(START);
    leases.hear({ sentAtMs: START, epoch: 3, others: [other()] }, START);
    const barrier = leases.begin(4, NOW);
    leases.hear({ sentAtMs: NOW + 1, epoch: 4, others: [other({ beats: 8 })] }, NOW + 2);
    expect(leases.completion(barrier, NOW + 2)).toBeNull();
  });

  test("is over no sooner than one lease after the start: of the time before nobody has an account", () => {
    const leases = new ReplicaLeases(START);
    const barrier = leases.begin(4, START + 10);
    leases.hear({ sentAtMs: START + 11, epoch: 4, others: [] }, START + 12);
    expect(leases.completion(barrier, START + 12)).toBeNull();
    expect(leases.completion(barrier, START + LONGEST_MS)).toEqual({ acked: 0, expired: 0 });
  });
});
