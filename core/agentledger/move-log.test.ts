import { describe, expect, it } from "vitest";
import { encodeUtf8, parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import { createTestLogSigner, type Fault, FaultyLogStorage } from "./ledger.test.support.ts";
import {
  createMemoryMedium,
  MemoryHighWater,
  MemoryLogStorage,
  type MemoryMedium,
} from "./memory-log-storage.ts";
import { copyPublished, type MovedLog, moveLog } from "./move-log.ts";
import type { LogStorage } from "./ports.ts";
import { Sequencer } from "./sequencer.ts";
import { encodeWalRecord } from "./wal.ts";

const ORIGIN = "ledger.acme.test";
const SIZE = 600;
const refusal = (code: string) => expect.objectContaining({ code });
const entriesOf = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => encodeUtf8(`entry ${from + at}`));

/** Copies, so that each attempt has a disk of its own. */
const copyOf = ({ files, wal, state }: MemoryMedium): MemoryMedium => ({
  files: new Map(files),
  wal: [...wal],
  state,
  isLocked: false,
});

function sequencerOn(storage: LogStorage, highWater: MemoryHighWater) {
  const fatal: unknown[] = [];
  const sequencer = new Sequencer({
    origin: ORIGIN,
    signer: createTestLogSigner(),
    storage,
    highWater,
    now: () => 1_795_000_000,
    onFatal: (error) => fatal.push(error),
  });
  return { sequencer, fatal };
}

/** A log of some entries, the last few of them acknowledged and in no tile. */
async function scene(size = SIZE, pending = 3) {
  const medium = createMemoryMedium();
  const highWater = new MemoryHighWater();
  const { sequencer } = sequencerOn(new MemoryLogStorage(medium), highWater);
  await sequencer.start();
  if (size > 0) await sequencer.append(entriesOf(0, size));
  await sequencer.waitForCheckpoint(size);
  const { root } = verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey);
  await sequencer.stop();
  // As a kill leaves it between the acknowledgement and the tiles.
  if (pending > 0)
    medium.wal = [...medium.wal, encodeWalRecord({ first: size, entries: entriesOf(size, size + pending) })];
  return { medium, highWater, vkey: sequencer.vkey, root, size: size + pending };
}

type Scene = Awaited<ReturnType<typeof scene>>;

async function move(
  { highWater, vkey }: Scene,
  { source, target }: { readonly source: LogStorage; readonly target: LogStorage },
): Promise<MovedLog> {
  await source.open();
  await target.open();
  return moveLog({ source, target, vkey, mark: await highWater.read() });
}

/** What a server's start on a medium comes to: the number of entries, or the code of the refusal. */
async function startOn({ highWater }: Scene, medium: MemoryMedium): Promise<number | string> {
  // A mark of its own: trying what would happen must not change what happens.
  const mark = await highWater.read();
  const own = new MemoryHighWater();
  if (mark !== null) await own.raise({ origin: ORIGIN, tree: mark, epoch: mark.epoch });
  const { sequencer } = sequencerOn(new MemoryLogStorage(copyOf(medium)), own);
  try {
    await sequencer.start();
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : String(error);
  }
  const { size } = sequencer;
  await sequencer.stop();
  return size;
}

describe("a log that is moved", () => {
  it("has the same root and every acknowledged entry, goes on where it is, and nowhere else", async () => {
    const old = await scene();
    const target = createMemoryMedium();
    const moved = await move(old, {
      source: new MemoryLogStorage(old.medium),
      target: new MemoryLogStorage(target),
    });
    expect(moved).toEqual({ size: SIZE, root: old.root, pending: 3 });
    expect(await startOn(old, old.medium)).toBe("ledger_moved");
    expect(await startOn(old, target)).toBe(SIZE + 3);
    const { sequencer, fatal } = sequencerOn(new MemoryLogStorage(copyOf(target)), old.highWater);
    await sequencer.start();
    await sequencer.append(entriesOf(SIZE + 3, SIZE + 5));
    await sequencer.waitForCheckpoint(SIZE + 5);
    for (const index of [0, 255, 256, SIZE - 1, SIZE, SIZE + 2, SIZE + 4])
      expect(parseUtf8(await sequencer.readEntry(index))).toBe(`entry ${index}`);
    await sequencer.stop();
    expect(fatal).toEqual([]);
    // What is left behind still verifies.
    const note = parseUtf8(old.medium.files.get("checkpoint") ?? new Uint8Array());
    expect(verifyCheckpoint(note, old.vkey)).toMatchObject({ size: SIZE, root: old.root });
  });

  it.each([0, 1, 256])("may have %d entries in tiles", async (size) => {
    const old = await scene(size, 1);
    const target = createMemoryMedium();
    const places = { source: new MemoryLogStorage(old.medium), target: new MemoryLogStorage(target) };
    expect(await move(old, places)).toMatchObject({ size, pending: 1 });
    expect(await startOn(old, target)).toBe(size + 1);
  });

  it("is copied for the most part while its writer works", async () => {
    const old = await scene(SIZE, 0);
    const target = new MemoryLogStorage();
    const { sequencer } = sequencerOn(new MemoryLogStorage(old.medium), old.highWater);
    await sequencer.start();
    const reader = new MemoryLogStorage(old.medium);
    const copied = await copyPublished(reader, { target, vkey: old.vkey });
    expect([...copied].toSorted()).toEqual([
      "tile/0/000",
      "tile/0/001",
      "tile/entries/000",
      "tile/entries/001",
    ]);
    await sequencer.append(entriesOf(SIZE, SIZE + 300));
    await sequencer.waitForCheckpoint(SIZE + 300);
    await sequencer.stop();
    const source = new MemoryLogStorage(old.medium);
    await source.open();
    const mark = await old.highWater.read();
    expect(await moveLog({ source, target, vkey: old.vkey, mark, copied })).toMatchObject({
      size: SIZE + 300,
    });
  });

  it("is never in two places that both go on, wherever a crash comes, and the next attempt ends it", async () => {
    const faults: readonly Fault[] = ["before", "half", "after"];
    let crashes = 0;
    for (const side of ["source", "target"] as const) {
      for (const fault of faults) {
        for (let failAt = 1; ; failAt += 1) {
          const old = await scene(300, 2);
          const target = createMemoryMedium();
          const places = { source: new MemoryLogStorage(old.medium), target: new MemoryLogStorage(target) };
          const faulty = new FaultyLogStorage(places[side], { failAt, fault });
          const isOver = await move(old, { ...places, [side]: faulty }).then(
            () => true,
            () => false,
          );
          if (isOver) break;
          crashes += 1;
          const starts = [await startOn(old, old.medium), await startOn(old, target)];
          expect(starts.filter((start) => start === 302).length, `${side} ${fault} ${failAt}`).toBeLessThan(
            2,
          );
          old.medium.isLocked = false;
          target.isLocked = false;
          await move(old, { source: new MemoryLogStorage(old.medium), target: new MemoryLogStorage(target) });
          expect([await startOn(old, old.medium), await startOn(old, target)]).toEqual(["ledger_moved", 302]);
        }
      }
    }
    expect(crashes).toBeGreaterThan(15);
  });
});

describe("a move is refused", () => {
  const places = (old: Scene, target = createMemoryMedium()) => ({
    source: new MemoryLogStorage(old.medium),
    target: new MemoryLogStorage(target),
  });

  it("to where a log is, from where none is, and from where it has left for elsewhere", async () => {
    const old = await scene();
    const other = await scene(5, 0);
    await expect(move(old, places(old, copyOf(other.medium)))).rejects.toThrow(refusal("config_invalid"));
    old.medium.isLocked = false;
    await expect(
      move(old, { source: new MemoryLogStorage(), target: new MemoryLogStorage() }),
    ).rejects.toThrow(refusal("not_found"));
    await move(old, places(old));
    old.medium.isLocked = false;
    await expect(move(old, places(old, copyOf(other.medium)))).rejects.toThrow(refusal("ledger_moved"));
  });

  it("to where a log is, before a single file is copied, so that the log there goes on", async () => {
    const old = await scene();
    const other = await scene(5, 0);
    const { storage, medium } = { storage: new MemoryLogStorage(other.medium), medium: other.medium };
    const before = [...medium.files.keys()].toSorted();
    await storage.open();
    const source = new MemoryLogStorage(old.medium);
    expect(await copyPublished(source, { target: storage, vkey: old.vkey })).toEqual(new Set());
    expect([...medium.files.keys()].toSorted()).toEqual(before);
    await storage.close();
    const { sequencer, fatal } = sequencerOn(new MemoryLogStorage(medium), other.highWater);
    await sequencer.start();
    await sequencer.append(entriesOf(1000, 1400));
    await sequencer.waitForCheckpoint(405);
    await sequencer.stop();
    expect(fatal).toEqual([]);
  });

  it("to a second place, when it has left for a first", async () => {
    const old = await scene();
    const first = createMemoryMedium();
    const second = createMemoryMedium();
    await move(old, places(old, first));
    old.medium.isLocked = false;
    await expect(move(old, places(old, second))).rejects.toThrow(refusal("ledger_moved"));
    expect([await startOn(old, first), await startOn(old, second)]).toEqual([SIZE + 3, "data_rolled_back"]);
    // The same move again is done already.
    [old.medium.isLocked, first.isLocked] = [false, false];
    expect(await move(old, places(old, first))).toMatchObject({ size: SIZE });
  });

  it("of a log that is rolled back or damaged, which is then fenced nowhere", async () => {
    const old = await scene();
    const bundle = old.medium.files.get("tile/entries/001") ?? new Uint8Array();
    const damaged = copyOf(old.medium);
    damaged.files.set(
      "tile/entries/001",
      Uint8Array.from(bundle, (byte, at) => (at === 9 ? byte ^ 1 : byte)),
    );
    const before = damaged.state;
    await expect(move(old, places({ ...old, medium: damaged }))).rejects.toThrow(refusal("ledger_corrupt"));
    expect(damaged.state).toBe(before);
    const older = await scene(10, 0);
    await expect(move(old, places({ ...old, medium: older.medium }))).rejects.toThrow(
      refusal("data_rolled_back"),
    );
  });

  it("to a place that holds other bytes under a tile's name", async () => {
    const old = await scene();
    const target = createMemoryMedium();
    target.files.set("tile/0/000", new Uint8Array(8192));
    await expect(move(old, places(old, target))).rejects.toThrow(refusal("ledger_corrupt"));
    expect(await startOn(old, old.medium)).toBe(SIZE + 3);
  });
});
