/**
 * What every `LogStorage` must do, as tests: each adapter runs this one list.
 */
import { describe, expect, it } from "vitest";
import { EMPTY_ROOT, leafHash } from "./merkle.ts";
import type { LogState, LogStorage } from "./ports.ts";

/** One medium and the ways to look at it again. */
export interface StorageUnderTest {
  /** A storage over the same medium; `open` is not called yet. */
  readonly connect: () => LogStorage;
}

const first: LogState = { size: 0, root: EMPTY_ROOT, checkpoint: "first" };
const second: LogState = { size: 1, root: leafHash(Uint8Array.of(1)), checkpoint: "second" };

/** Registers the contract for one adapter. @param create - a fresh medium for each test. */
export function describeLogStorageContract(name: string, create: () => StorageUnderTest): void {
  describe(`${name} keeps the log storage contract`, () => {
    itIsExclusive(create);
    itKeepsTheWal(create);
    itKeepsTiles(create);
    itKeepsState(create);
  });
}

async function opened(under: StorageUnderTest): Promise<LogStorage> {
  const storage = under.connect();
  await storage.open();
  return storage;
}

function itIsExclusive(create: () => StorageUnderTest): void {
  it("lets one writer in at a time (44)", async () => {
    const under = create();
    const one = await opened(under);
    await expect(under.connect().open()).rejects.toMatchObject({ code: "data_locked" });
    await one.close();
    const two = await opened(under);
    await two.close();
  });

  it("is empty at first", async () => {
    const storage = await opened(create());
    expect(await storage.readState()).toBeNull();
    expect(await storage.readCheckpoint()).toBeNull();
    expect((await storage.readWal()).flatMap((segment) => [...segment])).toEqual([]);
    await expect(storage.readObject("tile/0/000")).rejects.toMatchObject({ code: "not_found" });
    await storage.close();
  });
}

function itKeepsTheWal(create: () => StorageUnderTest): void {
  it("gives the write-ahead log back in order after reopening", async () => {
    const under = create();
    const storage = await opened(under);
    await storage.rotateWal();
    await storage.appendWal(Uint8Array.of(1, 2));
    await storage.appendWal(Uint8Array.of(3));
    await storage.rotateWal();
    await storage.appendWal(Uint8Array.of(4));
    await storage.close();
    const again = await opened(under);
    const segments = (await again.readWal()).map(writtenPart).filter((segment) => segment.length > 0);
    expect(segments).toEqual([[1, 2, 3], [4]]);
    await again.close();
  });

  it("trims all segments but the last, also after reopening", async () => {
    const under = create();
    const storage = await opened(under);
    await storage.rotateWal();
    await storage.appendWal(Uint8Array.of(1));
    await storage.close();
    const again = await opened(under);
    await again.rotateWal();
    await again.appendWal(Uint8Array.of(2));
    await again.trimWal();
    await again.appendWal(Uint8Array.of(3));
    expect((await again.readWal()).map(writtenPart)).toEqual([[2, 3]]);
    await again.close();
  });
}

/** Without prepared space; what these tests write has no zeros. */
function writtenPart(segment: Uint8Array): readonly number[] {
  return [...segment.subarray(0, segment.findLastIndex((byte) => byte !== 0) + 1)];
}

function itKeepsTiles(create: () => StorageUnderTest): void {
  it("writes a tile once; the same bytes again are fine, others are refused (12)", async () => {
    const under = create();
    const storage = await opened(under);
    const path = "tile/0/x001/x234/067";
    await storage.writeObjects([{ path, bytes: Uint8Array.of(1) }]);
    await storage.writeObjects([{ path, bytes: Uint8Array.of(1) }]);
    await expect(storage.writeObjects([{ path, bytes: Uint8Array.of(2) }])).rejects.toMatchObject({
      code: "ledger_corrupt",
    });
    await storage.close();
    expect([...(await under.connect().readObject(path))]).toEqual([1]);
  });

  it("removes the partial versions of a full tile, and only those", async () => {
    const storage = await opened(create());
    const bytes = Uint8Array.of(1);
    const paths = ["tile/0/000.p/1", "tile/0/000.p/255", "tile/0/000", "tile/0/001.p/1"];
    await storage.writeObjects(paths.map((path) => ({ path, bytes })));
    await storage.removePartials(["tile/0/000", "tile/entries/000"]);
    for (const path of paths.slice(0, 2)) {
      await expect(storage.readObject(path)).rejects.toMatchObject({ code: "not_found" });
    }
    for (const path of paths.slice(2)) expect([...(await storage.readObject(path))]).toEqual([1]);
    await storage.close();
  });
}

function itKeepsState(create: () => StorageUnderTest): void {
  it("swaps the state only from what it is", async () => {
    const under = create();
    async function swap(expected: LogState | null, next: LogState): Promise<void> {
      const storage = await opened(under);
      await storage.swapState(expected, next).finally(() => storage.close());
    }
    await expect(swap(first, second)).rejects.toMatchObject({ code: "ledger_corrupt" });
    await swap(null, first);
    await expect(swap(null, second)).rejects.toMatchObject({ code: "ledger_corrupt" });
    await swap(first, second);
    await expect(swap(first, second)).rejects.toMatchObject({ code: "ledger_corrupt" });
    const again = await opened(under);
    const state = await again.readState();
    expect(state).toMatchObject({ size: 1, checkpoint: "second" });
    expect([...(state?.root ?? [])]).toEqual([...second.root]);
    await again.close();
  });

  it("shows the latest published checkpoint", async () => {
    const under = create();
    const storage = await opened(under);
    await storage.publishCheckpoint("one\n");
    await storage.publishCheckpoint("two\n");
    await storage.close();
    expect(await under.connect().readCheckpoint()).toBe("two\n");
  });
}
