import { describe, expect, test } from "vitest";
import { LeaseRegistry } from "./lease-registry.ts";

/** One lease with its margin for clock drift. */
const WAIT_MS = 735;

/** Behind relays. */
const NOBODY = { acked: 0, expired: 0 };

/** A registry that started long ago, at epoch 5. */
function settled(): LeaseRegistry {
  return new LeaseRegistry({ nowMs: -10_000, epoch: 5 });
}

describe("completion", () => {
  test("with nobody connected it is immediate", () => {
    const registry = settled();
    const barrier = registry.advance(6, 0);
    expect(registry.completion(barrier, 0)).toEqual({
      state: "complete",
      acked: 0,
      expired: [],
      behind: NOBODY,
    });
  });

  test("a connection without an echo has no lease and is not waited for", () => {
    const registry = settled();
    registry.open();
    expect(registry.completion(registry.advance(6, 0), 0)).toMatchObject({ state: "complete", acked: 0 });
  });

  test("each live lease acknowledges", () => {
    const registry = settled();
    const [left, right] = [registry.open(), registry.open()];
    registry.echo(left, 0);
    registry.echo(right, 0);
    const barrier = registry.advance(6, 10);
    registry.ack(left, 6);
    expect(registry.completion(barrier, 11)).toEqual({ state: "pending", checkAtMs: WAIT_MS });
    registry.ack(right, 5);
    expect(registry.completion(barrier, 12).state).toBe("pending");
    registry.ack(right, 6);
    expect(registry.completion(barrier, 13)).toEqual({
      state: "complete",
      acked: 2,
      expired: [],
      behind: NOBODY,
    });
  });

  test("a silent lease is waited for until it has run out on the slowest clock", () => {
    const registry = settled();
    const id = registry.open();
    registry.echo(id, 100);
    const barrier = registry.advance(6, 110);
    expect(registry.completion(barrier, 100 + WAIT_MS - 1).state).toBe("pending");
    expect(registry.completion(barrier, 100 + WAIT_MS)).toEqual({
      state: "complete",
      acked: 0,
      expired: [id],
      behind: NOBODY,
    });
  });

  test("an echo after the epoch rose prolongs nothing: its verifier applied the push before it", () => {
    const registry = settled();
    const id = registry.open();
    registry.echo(id, 0);
    const barrier = registry.advance(6, 10);
    expect(registry.echo(id, 600)).toBe(6);
    expect(registry.completion(barrier, WAIT_MS)).toMatchObject({ state: "complete", expired: [id] });
  });

  test("a closed connection is waited for as long as its verifier may go on", () => {
    const registry = settled();
    const id = registry.open();
    registry.echo(id, 0);
    registry.close(id, 1);
    for (const nowMs of [2, 700]) {
      const other = registry.open();
      registry.close(other, nowMs);
    }
    const barrier = registry.advance(6, 701);
    expect(registry.completion(barrier, WAIT_MS - 1).state).toBe("pending");
    expect(registry.completion(barrier, WAIT_MS)).toMatchObject({ state: "complete", expired: [id] });
  });

  test("a lease that had run out before is in no count", () => {
    const registry = settled();
    registry.echo(registry.open(), 0);
    const barrier = registry.advance(6, WAIT_MS);
    expect(registry.completion(barrier, WAIT_MS)).toEqual({
      state: "complete",
      acked: 0,
      expired: [],
      behind: NOBODY,
    });
  });

  test("a restarted server completes nothing within one lease", () => {
    const registry = new LeaseRegistry({ nowMs: 1000, epoch: 5 });
    const barrier = registry.advance(6, 1001);
    expect(registry.completion(barrier, 1001)).toEqual({ state: "pending", checkAtMs: 1000 + WAIT_MS });
    expect(registry.completion(barrier, 1000 + WAIT_MS - 1).state).toBe("pending");
    expect(registry.completion(barrier, 1000 + WAIT_MS).state).toBe("complete");
  });

  test("what was revoked before the start is complete one lease after it", () => {
    const registry = new LeaseRegistry({ nowMs: 1000, epoch: 5 });
    expect(registry.completion(registry.started, 1000 + WAIT_MS - 1).state).toBe("pending");
    expect(registry.completion(registry.started, 1000 + WAIT_MS).state).toBe("complete");
  });

  test("one acknowledgement serves every revocation up to its epoch", () => {
    const registry = settled();
    const id = registry.open();
    registry.echo(id, 0);
    const first = registry.advance(6, 1);
    const second = registry.advance(7, 2);
    const third = registry.advance(8, 3);
    registry.ack(id, 7);
    expect(registry.completion(first, 4)).toMatchObject({ state: "complete", acked: 1 });
    expect(registry.completion(second, 4)).toMatchObject({ state: "complete", acked: 1 });
    expect(registry.completion(third, 4).state).toBe("pending");
  });
});

describe("what a verifier may say", () => {
  test("an epoch that does not exist, or below an earlier one, is refused", () => {
    const registry = settled();
    const id = registry.open();
    registry.ack(id, 4);
    registry.ack(id, 5);
    expect(() => registry.ack(id, 6)).toThrow("request_malformed");
    expect(() => registry.ack(id, 4)).toThrow("request_malformed");
  });
});

test("the epoch only rises", () => {
  const registry = settled();
  expect(() => registry.advance(5, 0)).toThrow("only rises");
  registry.advance(6, 0);
  expect(registry.epoch).toBe(6);
});

describe("relays", () => {
  const behind = { leases: 3, left: 2, acked: 2, expired: 1 };

  test("what a relay says of those behind it is counted when it acknowledges", () => {
    const registry = settled();
    const relay = registry.open();
    registry.echo(relay, 0);
    const barrier = registry.advance(6, 10);
    registry.ack(relay, 5, behind);
    expect(registry.progress()).toEqual([{ epoch: 6, left: 1, acked: 0, expired: 0, leftBehind: 2 }]);
    expect(registry.leasesBehind).toBe(3);
    registry.ack(relay, 6, { ...behind, left: 0 });
    expect(registry.completion(barrier, 20)).toEqual({
      state: "complete",
      acked: 1,
      expired: [],
      behind: { acked: 2, expired: 1 },
    });
    expect(registry.progress()).toEqual([]);
  });

  test("a relay waits no longer than for what it gave on, and takes nothing back", () => {
    const registry = new LeaseRegistry({ nowMs: 0, epoch: 5, isRelay: true });
    const id = registry.open();
    registry.echo(id, 0, 200);
    registry.echo(id, 10, 100);
    const barrier = registry.advance(6, 20);
    expect(registry.completion(barrier, 209)).toEqual({ state: "pending", checkAtMs: 210 });
    expect(registry.completion(barrier, 210)).toMatchObject({ state: "complete", expired: [id] });
  });

  test("nobody gives more than one lease", () => {
    const registry = new LeaseRegistry({ nowMs: 0, epoch: 5, isRelay: true });
    registry.echo(registry.open(), 0, 10_000);
    expect(registry.completion(registry.advance(6, 1), 1)).toEqual({ state: "pending", checkAtMs: WAIT_MS });
  });
});
