/** What is done once is done while the seat is held, by whoever holds it, and what two kept of the same work is what came further. */

import { TrustWardenError } from "@trustwarden/core/error.ts";
import { keepFurthest, type Note, type Notes } from "@trustwarden/core/notes.ts";
import { expect, test } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { createCursorNote } from "../sinks/cursor.ts";
import { SeatDuties } from "./seat-duties.ts";

/** Notes in memory, under the rules of the store. */
class MemoryNotes implements Notes {
  readonly kept = new Map<string, Note>();
  #revision = 0;

  async readAll(): Promise<readonly Note[]> {
    return [...this.kept.values()];
  }

  async read(_kind: string, name: string): Promise<Note | undefined> {
    return this.kept.get(name);
  }

  async keep({ name, revision, body }: Parameters<Notes["keep"]>[0]): Promise<number | null> {
    if ((this.kept.get(name)?.revision ?? 0) !== revision) return null;
    this.#revision += 1;
    if (body === null) this.kept.delete(name);
    else this.kept.set(name, { name, revision: this.#revision, body });
    return this.#revision;
  }
}

test("a duty runs while the seat is held, whenever it was added, and again with the next seat", async () => {
  const seen: string[] = [];
  const duties = new SeatDuties();
  const duty = (name: string) => async () => {
    seen.push(`${name} begins`);
    return async () => void seen.push(`${name} ends`);
  };
  await duties.add(duty("early"));
  expect([duties.isSeated, seen]).toEqual([false, []]);
  await duties.begin();
  await duties.add(duty("late"));
  await duties.end();
  await duties.begin();
  expect([duties.isSeated, seen]).toEqual([
    true,
    ["early begins", "late begins", "late ends", "early ends", "early begins", "late begins"],
  ]);
});

test("a seat that was lost while a duty begins ends it all the same", async () => {
  const seen: string[] = [];
  const duties = new SeatDuties();
  const gate = Promise.withResolvers<void>();
  const isBeginning = Promise.withResolvers<void>();
  await duties.add(async () => {
    isBeginning.resolve();
    await gate.promise;
    return async () => void seen.push("ended");
  });
  const begun = duties.begin();
  await isBeginning.promise;
  const ended = duties.end();
  gate.resolve();
  await Promise.all([begun, ended]);
  expect([duties.isSeated, seen]).toEqual([false, ["ended"]]);
});

test("what was begun before one could not be is ended with the rest, and all of it begins with the next seat", async () => {
  const seen: string[] = [];
  const duties = new SeatDuties();
  let isBroken = true;
  await duties.add(async () => {
    seen.push("begins");
    return async () => void seen.push("ends");
  });
  await duties.add(async () => {
    if (isBroken) throw new TrustWardenError("ledger_unavailable");
    seen.push("second begins");
    return async () => undefined;
  });
  await expectRejection(duties.begin(), "ledger_unavailable");
  await duties.end();
  expect([duties.isSeated, seen]).toEqual([false, ["begins", "ends"]]);
  isBroken = false;
  await duties.begin();
  expect(seen).toEqual(["begins", "ends", "begins", "second begins"]);
});

test("of two sinks that sent the same, the place of the one that came further stays", async () => {
  const notes = new MemoryNotes();
  const waits: number[] = [];
  const waitForCheckpoint = async (size: number) => void waits.push(size);
  const log = { waitForCheckpoint, refresh: async () => undefined };
  const [old, young] = [1, 2].map(() => createCursorNote({ notes, name: "siem", log }));
  expect(await old?.read()).toBeUndefined();
  await young?.write({ next: 128, last: "y".repeat(43) });
  await old?.write({ next: 64, last: "o".repeat(43) });
  expect(await old?.read()).toEqual({ next: 128, last: "y".repeat(43) });
  expect(waits).toEqual([128]);
});

test("a ledger that cannot be read is no other ledger; one that does not show what was sent may be", async () => {
  const notes = new MemoryNotes();
  const away = async () => {
    throw new TrustWardenError("ledger_unavailable");
  };
  const cursorIn = (refresh: () => Promise<void>) =>
    createCursorNote({ notes, name: "siem", log: { waitForCheckpoint: away, refresh } });
  const place = { next: 128, last: "y".repeat(43) };
  await cursorIn(away).write(place);
  await expectRejection(cursorIn(away).read(), "ledger_unavailable");
  expect(await cursorIn(async () => undefined).read()).toEqual(place);
});

test("what others are always faster with is not kept, and that is said", async () => {
  const notes = new MemoryNotes();
  notes.keep = async () => null;
  const note = { kind: "sink", name: "siem", body: "1\n", isAhead: () => false } as const;
  await expectRejection(keepFurthest(notes, note), "store_unavailable");
});
