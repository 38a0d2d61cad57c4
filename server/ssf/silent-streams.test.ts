/** Streams that nobody takes from: how many places there are, and what becomes of those that were given up. */

import { issueTestControl, TEST_NOW } from "@trustwarden/core/agentledger/record.test.support.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { describe, expect, it } from "vitest";
import { INACTIVITY_SECONDS } from "./silent-streams.ts";
import type { StreamFiles } from "./stream-files.ts";
import type { StreamState } from "./stream-state.ts";
import { SecurityEventStreams } from "./streams.ts";

const WANTED = { requested: null, description: null };
const STARTED_MS = TEST_NOW * 1000;
const EDGE_MS = STARTED_MS + INACTIVITY_SECONDS * 1000;

/** One stream store in memory, and a ledger to which an entry of the start can be added. */
function createWorld() {
  const kept = new Map<string, StreamState>();
  const entries: Uint8Array[] = [];
  let nowMs = STARTED_MS;
  let drawn = 0;
  const files: StreamFiles = {
    readAll: () => [...kept.values()],
    write: async ({ state, revision }) => {
      kept.set(state.streamId, state);
      return revision + 1;
    },
    remove: async ({ state }) => void kept.delete(state.streamId),
  };
  const streams = new SecurityEventStreams({
    files,
    ledger: {
      get size() {
        return entries.length;
      },
      publishedSize: () => entries.length,
      readEntriesFrom: async (index) => entries.slice(index),
    },
    issuer: "https://acme.test",
    random: (length) => new Uint8Array(length).fill(++drawn),
    clock: { nowMs: () => nowMs, monoMs: () => 0 },
  });
  return {
    streams,
    kept,
    append: () => void entries.push(issueTestControl({ time: formatTime(STARTED_MS) })),
    setNow: (ms: number) => {
      nowMs = ms;
    },
    /** @returns ids of the streams that were given up. */
    giveUp: async () => {
      const recorded: string[] = [];
      await streams.giveUpSilent(async ({ streamId }) => void recorded.push(streamId));
      return recorded;
    },
  };
}

const poll = (world: ReturnType<typeof createWorld>, { receiver, streamId }: StreamState) =>
  world.streams.poll(receiver, streamId, { taken: new Set(), isImmediate: true, isGone: () => false });

describe("a stream", () => {
  it("is given up when what it could take is older than two weeks, and not a moment before", async () => {
    const world = createWorld();
    const stream = await world.streams.create("mail", WANTED);
    world.setNow(EDGE_MS * 2);
    // Nothing has happened since, so there is nothing that was not taken.
    expect(await world.giveUp()).toEqual([]);
    world.append();
    world.setNow(EDGE_MS);
    expect(await world.giveUp()).toEqual([]);
    world.setNow(EDGE_MS + 1);
    expect(await world.giveUp()).toEqual([stream.streamId]);
    expect(await world.giveUp()).toEqual([]);
  });

  it("stays for as long as its receiver comes, paused or not", async () => {
    const world = createWorld();
    const mail = await world.streams.create("mail", WANTED);
    const silent = await world.streams.create("silent", WANTED);
    await world.streams.change("mail", mail.streamId, () => ({ status: "paused" }));
    world.append();
    await poll(world, mail);
    world.setNow(EDGE_MS + 1);
    expect(await world.giveUp()).toEqual([silent.streamId]);
  });

  it("is not given up unless that is recorded", async () => {
    const world = createWorld();
    const { receiver, streamId } = await world.streams.create("mail", WANTED);
    world.append();
    world.setNow(EDGE_MS + 1);
    await expect(world.streams.giveUpSilent(() => Promise.reject(new Error("full")))).rejects.toThrow("full");
    expect(world.streams.read(receiver, streamId).status).toBe("enabled");
    expect(await world.giveUp()).toEqual([streamId]);
  });
});

describe("the places of all", () => {
  it("are free again when sixty-four receivers are gone, and of those given up the oldest go", async () => {
    const world = createWorld();
    const fill = async (round: string) => {
      const made: StreamState[] = [];
      for (let at = 0; at < 64; at += 1) made.push(await world.streams.create(`${round}-${at}`, WANTED));
      return made;
    };
    const first = await fill("first");
    await expect(world.streams.create("late", WANTED)).rejects.toMatchObject({ code: "ssf_limit_reached" });
    world.append();
    world.setNow(EDGE_MS + 1);
    expect(await world.giveUp()).toHaveLength(64);
    expect(world.kept.size).toBe(64);
    const second = await fill("second");
    world.append();
    expect(await world.giveUp()).toHaveLength(64);
    expect([...world.kept.keys()].toSorted()).toEqual(second.map(({ streamId }) => streamId).toSorted());
    const [gone] = first;
    expect(() => world.streams.read("first-0", String(gone?.streamId))).toThrow(
      expect.objectContaining({ code: "not_found" }),
    );
  });
});
