/**
 * Five hundred verifiers that come back to one busy thread, in simulated time: eight tenths of it are their beats, so that little
 * is left for handshakes. Each rule that is taken out is found out.
 */
import { describe, expect, test } from "vitest";
import { Crowd, type Flaw } from "./crowd-model.test.support.ts";

const VERIFIERS = 500;
const COSTS = { beatMs: 0.32, handshakeMs: 19.2 };
/** Everybody once: all handshakes, in what the beats leave of the thread's time, and some room. */
const ALL_HANDSHAKES_MS = 30_000;

function openCrowd(seed: number, flaw?: Flaw): Crowd {
  const crowd = new Crowd({ verifiers: VERIFIERS, costs: COSTS, seed, flaw });
  expect(crowd.untilAllLeased(ALL_HANDSHAKES_MS)).not.toBeNull();
  return crowd;
}

describe.each([1, 2, 3])("a crowd (seed %i)", (seed) => {
  test("comes in, and nobody who is in loses its lease meanwhile", () => {
    const crowd = openCrowd(seed);
    crowd.runFor(5_000);
    expect(crowd.leases).toBe(VERIFIERS);
  });

  test("is back seconds after its thread stood still, over the connections that it had", () => {
    const crowd = openCrowd(seed);
    const before = crowd.thread.handshakes;
    crowd.standStill(4_000);
    crowd.runFor(4_000);
    expect(crowd.leased).toBe(0);
    expect(crowd.untilAllLeased(10_000)).not.toBeNull();
    expect(crowd.thread.handshakes - before).toBeLessThan(VERIFIERS / 10);
  });

  test("is back after every connection was lost, each by one handshake, and who is back stays", () => {
    const crowd = openCrowd(seed);
    const before = crowd.thread.handshakes;
    crowd.loseAll();
    expect(crowd.untilAllLeased(ALL_HANDSHAKES_MS)).not.toBeNull();
    crowd.runFor(5_000);
    expect(crowd.leases).toBe(2 * VERIFIERS);
    expect(crowd.thread.handshakes - before).toBeLessThan(1.1 * VERIFIERS);
  });
});

describe("is found out", () => {
  test("a verifier that leaves who is only late: everybody comes by a handshake again", () => {
    const crowd = openCrowd(1, "leaves who is late");
    const before = crowd.thread.handshakes;
    crowd.standStill(4_000);
    crowd.runFor(4_000);
    expect(crowd.untilAllLeased(10_000)).toBeNull();
    expect(crowd.thread.handshakes - before).toBeGreaterThan(VERIFIERS / 4);
  });

  test("a listener that lets in as fast as it can: who is in loses its lease by those who come", () => {
    expect(openCrowd(1, "lets in as fast as it can").leases).toBeGreaterThan(1.2 * VERIFIERS);
  });
});
