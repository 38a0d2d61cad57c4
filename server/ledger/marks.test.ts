/** When events that are in the ledger are marked: many at once after a pause, and all before the server ends. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { expect, test } from "vitest";
import { FlooredClock } from "../clock.ts";
import { Ledger, type LedgerOptions } from "./ledger.ts";

type Unused = "records" | "log" | "index";

/** A ledger whose marks are noted, and whose pauses the test ends. */
function paced(pauses: (() => void)[]) {
  const marked: (readonly number[])[] = [];
  let size = 0;
  const unused: Pick<LedgerOptions, Unused> = Object({
    records: null,
    index: { observe: () => undefined },
    log: {
      onTurned: () => undefined,
      append: async (entries: readonly Uint8Array[]) =>
        entries.map(() => ({ index: size++, acknowledgement: "kept" })),
    },
  });
  const ledger = new Ledger({
    ...unused,
    origin: "ledger.acme.test",
    clock: new FlooredClock({ nowMs: () => 1, monoMs: () => 1 }),
    witnessing: null,
    markSequenced: async (ids) => void marked.push(ids),
    pace: () => new Promise((resolve) => pauses.push(resolve)),
    onUnmarked: () => undefined,
  });
  const settle = (outboxId: number) =>
    ledger.settle({ entries: [encodeUtf8(`{"${outboxId}":1}`)], outboxId, eventId: "event" });
  return { ledger, marked, settle };
}

test("what is settled during a pause is marked by one command, in order", async () => {
  const pauses: (() => void)[] = [];
  const { ledger, marked, settle } = paced(pauses);
  for (const id of [1, 2, 3]) await settle(id);
  expect(marked).toEqual([]);
  pauses.shift()?.();
  await expect.poll(() => marked).toEqual([[1, 2, 3]]);
  await settle(4);
  expect(marked).toHaveLength(1);
  await ledger.drain();
  expect(marked).toEqual([[1, 2, 3], [4]]);
});

test("a ledger that ends waits for no pause, and marks everything", async () => {
  const { ledger, marked, settle } = paced([]);
  await settle(1);
  await ledger.drain();
  await settle(2);
  await ledger.drain();
  expect(marked).toEqual([[1], [2]]);
});
