import type { StreamedEvent } from "@trustwarden/core/agentledger/event-stream.ts";
import { joinRecord } from "@trustwarden/core/agentledger/join.ts";
import { issueTestOwner } from "@trustwarden/core/agentledger/record.test.support.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { describe, expect, it } from "vitest";
import { type Delivery, Sink, type SinkOptions, type SinkPlace } from "./sink.ts";

/** A log of so many events, and a cursor in memory. */
function deps(size: number, deliver: SinkOptions["deliver"], changes: Partial<SinkOptions> = {}) {
  const kept: number[] = [];
  const places: SinkPlace[] = [];
  const failures: string[] = [];
  const event = joinRecord(null, parseRecord(issueTestOwner()), 0);
  const options: SinkOptions = {
    name: "siem",
    size: () => size,
    read: async ({ from, size: end, limit }) => {
      const next = Math.min(end, from + limit);
      const events: StreamedEvent[] = [];
      for (let index = from; index < next; index += 1) events.push({ index, event });
      return { events, next };
    },
    cursor: {
      read: async () => places.at(-1),
      write: async (place) => {
        places.push(place);
        kept.push(place.next);
      },
    },
    entryDigest: async (index) => `digest of ${index}`,
    begin: () => 0,
    deliver,
    onFailure: ({ reason, attempt }) => void failures.push(`${attempt} ${reason}`),
    retryMs: 1,
    ...changes,
  };
  return { options, kept, places, failures };
}

const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 25_000 });

describe("a sink", () => {
  it("keeps its place only after a piece was taken, and offers a piece again under the same name", async () => {
    const offered: string[] = [];
    const { options, kept, failures } = deps(100, async ({ id }: Delivery) => {
      offered.push(id);
      if (offered.length < 3) throw new TrustWardenError("sink_refused", { reason: "status 500" });
    });
    const sink = new Sink(options);
    await eventually(() => kept.at(-1)).toBe(100);
    await sink.close();
    expect(offered).toEqual(["siem/0-64", "siem/0-64", "siem/0-64", "siem/64-100"]);
    expect(kept).toEqual([0, 64, 100]);
    expect(failures).toEqual(["1 sink_refused status 500", "2 sink_refused status 500"]);
  });

  it("offers the same piece again also when the ledger has grown meanwhile", async () => {
    const offered: string[] = [];
    let size = 2;
    const { options, kept } = deps(
      0,
      async ({ id, events }) => {
        offered.push(`${id} ${events.length}`);
        size = 5;
        if (offered.length === 1) throw new TrustWardenError("sink_refused", { reason: "status 500" });
      },
      { size: () => size },
    );
    const sink = new Sink(options);
    await eventually(() => kept.at(-1)).toBe(5);
    await sink.close();
    expect(offered).toEqual(["siem/0-2 2", "siem/0-2 2", "siem/2-5 3"]);
  });

  it("that begins now keeps where that was, before it has taken anything", async () => {
    const { options, kept } = deps(7, async () => undefined, { begin: () => 7 });
    const sink = new Sink(options);
    await eventually(() => kept).toEqual([7]);
    await sink.close();
  });

  it("keeps with its place which entry it took last, and goes on there", async () => {
    const offered: string[] = [];
    const { options, places } = deps(3, async ({ id }) => void offered.push(id), {});
    places.push({ next: 2, last: "digest of 1" });
    const sink = new Sink(options);
    await eventually(() => places.at(-1)).toEqual({ next: 3, last: "digest of 2" });
    await sink.close();
    expect(offered).toEqual(["siem/2-3"]);
  });

  it.each([
    ["has taken more than the ledger holds", { next: 9, last: null }, 5],
    ["took another entry last than the ledger holds there", { next: 3, last: "of a ledger of before" }, 5],
  ])("that %s says so and sends nothing, however the ledger grows", async (_what, place, begin) => {
    let size = begin;
    const offered: string[] = [];
    const { options, places, failures } = deps(0, async ({ id }) => void offered.push(id), {
      size: () => size,
    });
    places.push(place);
    const sink = new Sink(options);
    await eventually(() => failures.length).toBeGreaterThan(1);
    size = 100;
    await eventually(() => failures.length).toBeGreaterThan(3);
    await sink.close();
    expect(new Set(failures.map((failure) => failure.split(" ")[1]))).toEqual(new Set(["sink_ahead"]));
    expect([offered, places]).toEqual([[], [place]]);
  });

  it("closes while its endpoint hangs or fails, and says nothing of an address", async () => {
    const hung = deps(
      1,
      (_delivery, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(new Error("cut")));
        }),
    );
    await new Sink(hung.options).close();
    const refused = Object.assign(new Error("connect to https://siem.example/?token=x"), {
      code: "ECONNREFUSED",
    });
    const failing = deps(1, () => Promise.reject(refused), { retryMs: 60_000 });
    const sink = new Sink(failing.options);
    await eventually(() => failing.failures).toEqual(["1 ECONNREFUSED"]);
    await sink.close();
    expect(hung.kept.concat(failing.kept).every((place) => place === 0)).toBe(true);
  });
});
