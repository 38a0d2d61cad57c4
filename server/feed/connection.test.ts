import { type Duplex, duplexPair } from "node:stream";
import type { Beat } from "@trustwarden/core/revocation/frames.ts";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type EndReason, FeedConnection } from "./connection.ts";

const LINE = `{"nonce":"${Buffer.alloc(16).toString("base64url")}","ack":0}\n`;

let nowMs: number;
let peer: Duplex;
let link: FeedConnection;
let beats: Beat[];
let ends: EndReason[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  nowMs = 0;
  beats = [];
  ends = [];
  const [ours, theirs] = duplexPair();
  peer = theirs;
  link = new FeedConnection({
    socket: ours,
    clock: { monoMs: () => nowMs },
    onBeat: (beat) => beats.push(beat),
    onEnd: (reason) => ends.push(reason),
  });
});
afterEach(() => {
  link.end("shutdown");
  vi.useRealTimers();
});

/** Lets what was written arrive. */
const settle = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

describe("a connection", () => {
  test("hands on each beat, however it is cut", async () => {
    peer.write(LINE.slice(0, 10));
    await settle();
    peer.write(`${LINE.slice(10)}${LINE}`);
    await settle();
    expect(beats).toHaveLength(2);
    expect(ends).toEqual([]);
  });

  test.each([
    ["text that is no beat", "hello\n"],
    ["a line that never ends", "x".repeat(257)],
    ["bytes that are not UTF-8", Buffer.from([0xff, 0x0a])],
  ])("ends at %s, once", async (_name, text) => {
    peer.write(text);
    peer.write(LINE);
    await settle();
    expect(ends).toEqual(["malformed"]);
    expect(beats).toEqual([]);
  });

  test("bears 200 beats in a second and not 201", async () => {
    peer.write(LINE.repeat(200));
    await settle();
    expect(ends).toEqual([]);
    nowMs = 1000;
    peer.write(LINE.repeat(200));
    await settle();
    expect(ends).toEqual([]);
    peer.write(LINE);
    await settle();
    expect(ends).toEqual(["too_fast"]);
    expect(beats).toHaveLength(400);
  });

  test("drops a reader behind by more than 256 KiB", () => {
    const line = new Uint8Array(65_536);
    for (let count = 0; count < 4; count += 1) link.send(line);
    expect(ends).toEqual([]);
    for (let count = 0; count < 2; count += 1) link.send(line);
    expect(ends).toEqual(["too_slow"]);
  });

  test("ends after twenty leases of silence, counted from the last beat", async () => {
    vi.advanceTimersByTime(13_999);
    peer.write(LINE);
    await settle();
    vi.advanceTimersByTime(13_999);
    expect(ends).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(ends).toEqual(["silent"]);
  });

  test("ends when the peer does, also by halves", async () => {
    peer.end();
    await settle();
    expect(ends).toEqual(["closed"]);
    link.send(new Uint8Array(1));
    link.end("revoked");
    expect(ends).toEqual(["closed"]);
  });
});
