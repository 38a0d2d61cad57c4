/** One timer at a time, whatever happens while tokens are asked for. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createMemorySource, NOW } from "./endpoint.test.support.ts";
import { WitFollower } from "./wit-follower.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

it("leaves no timer behind when its caller's identities change while tokens are asked for", async () => {
  const source = createMemorySource();
  const peer = {
    pid: 1,
    uid: 0,
    gid: 0,
    groups: [],
    connectionId: "x",
    isAlive: () => true,
    hold: () => () => {},
  };
  let deliveries = 0;
  const follower = new WitFollower({
    source,
    peer,
    spiffeId: null,
    now: () => NOW,
    onWits: () => {
      deliveries += 1;
      if (deliveries === 1) source.push({ ...source.state, svids: source.state.svids.slice(0, 1) });
    },
    onEnd: () => {},
  });
  await follower.start();
  await vi.waitFor(() => expect(deliveries).toBe(2));
  expect(vi.getTimerCount()).toBe(1);
  follower.close();
  expect(vi.getTimerCount()).toBe(0);
});
