import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeHex, encodeUtf8 } from "../bytes.ts";
import { verifyAcknowledgement } from "./acknowledgement.ts";
import { issueCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import { verifyConsistency } from "./consistency-proof.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { createTestLogSigner, type Fault, FaultyLogStorage } from "./ledger.test.support.ts";
import { describeLogStorageContract } from "./log-storage.test.support.ts";
import {
  createMemoryMedium,
  MemoryHighWater,
  MemoryLogStorage,
  type MemoryMedium,
} from "./memory-log-storage.ts";
import { EMPTY_ROOT, leafHash } from "./merkle.ts";
import type { HighWater, LogStorage } from "./ports.ts";
import { type Appended, Sequencer, type SequencerOptions } from "./sequencer.ts";
import { encodeWalRecord } from "./wal.ts";

describeLogStorageContract("MemoryLogStorage", () => {
  const medium = createMemoryMedium();
  return { connect: () => new MemoryLogStorage(medium) };
});

const origin = "ledger.acme.test/2026q4";
const signer = createTestLogSigner();
const entryOf = (text: string | number) => encodeUtf8(`entry ${text}`);

function create(storage: LogStorage, highWater: HighWater, more: Partial<SequencerOptions> = {}): Sequencer {
  return new Sequencer({
    origin,
    signer,
    storage,
    highWater,
    now: () => 1_795_000_000,
    onFatal: () => undefined,
    ...more,
  });
}

async function started(
  medium: MemoryMedium,
  highWater: HighWater,
  more: Partial<SequencerOptions> = {},
): Promise<Sequencer> {
  const sequencer = create(new MemoryLogStorage(medium), highWater, more);
  await sequencer.start();
  return sequencer;
}

/** A copy of a medium, as a backup would be. */
function backup(medium: MemoryMedium): MemoryMedium {
  return { files: new Map(medium.files), wal: [...medium.wal], state: medium.state, isLocked: false };
}

describe("the sequencer", () => {
  it("gives entries of one call neighbouring places, promises them, and proves them", async () => {
    const sequencer = await started(createMemoryMedium(), new MemoryHighWater());
    const calls = await Promise.all([
      sequencer.append([entryOf("a"), entryOf("b")]),
      sequencer.append([entryOf("c")]),
      sequencer.append([entryOf("d"), entryOf("e"), entryOf("f")]),
    ]);
    expect(calls.map((call) => call.map(({ index }) => index))).toEqual([[0, 1], [2], [3, 4, 5]]);
    await sequencer.waitForCheckpoint(6);
    const head = verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey);
    expect(head.size).toBe(6);
    for (const { index, leafHash: leaf, acknowledgement } of calls.flat()) {
      expect(verifyAcknowledgement(acknowledgement, sequencer.vkey)).toMatchObject({
        index,
        acknowledgedAt: 1_795_000_000,
      });
      verifyInclusion({
        index,
        size: 6,
        leaf,
        proof: await sequencer.proveInclusion(index, 6),
        root: head.root,
      });
      expect(encodeHex(leafHash(await sequencer.readEntry(index)))).toBe(encodeHex(leaf));
    }
    await sequencer.stop();
  });

  it("signs the promise of neighbours' last one while the disk writes, and hands it out when it is true", async () => {
    const medium = createMemoryMedium();
    let now = 1_795_000_000;
    let signed = 0;
    const counting = {
      ...signer,
      sign: (data: Uint8Array) => {
        // Checkpoints are signed with the same key; their first line has no suffix.
        if (Buffer.from(data).toString().startsWith(`${origin}/ack\n`)) signed += 1;
        return signer.sign(data);
      },
    };
    const storage = new MemoryLogStorage(medium);
    let during = (): void => undefined;
    const { appendWal } = storage;
    storage.appendWal = async (record) => {
      await Promise.resolve();
      during();
      await appendWal.call(storage, record);
    };
    const sequencer = create(storage, new MemoryHighWater(), { signer: counting, now: () => now });
    await sequencer.start();
    const signedDuring: number[] = [];
    during = () => void signedDuring.push(signed);
    const [, decision] = await sequencer.append([entryOf("wish"), entryOf("answer")]);
    expect(signedDuring).toEqual([1]);
    expect(verifyAcknowledgement(decision?.acknowledgement ?? "", sequencer.vkey).index).toBe(1);
    expect(signed).toBe(1);
    // A write that takes into another second: the promise says when it was true.
    during = () => {
      now += 1;
    };
    const [, late] = await sequencer.append([entryOf("wish 2"), entryOf("answer 2")]);
    expect(verifyAcknowledgement(late?.acknowledgement ?? "", sequencer.vkey)).toMatchObject({
      index: 3,
      acknowledgedAt: 1_795_000_001,
    });
    // Nobody gets one that did not become true.
    during = () => {
      throw new Error("the disk is gone");
    };
    await expect(sequencer.append([entryOf("wish 3"), entryOf("answer 3")])).rejects.toMatchObject({
      code: "ledger_unavailable",
    });
  });

  it("proves that every published tree continues every earlier one", async () => {
    const sequencer = await started(createMemoryMedium(), new MemoryHighWater());
    const heads = [verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey)];
    for (let round = 0; round < 12; round += 1) {
      await sequencer.append(Array.from({ length: round * 9 + 1 }, (_, at) => entryOf(`${round}.${at}`)));
      await sequencer.waitForCheckpoint(sequencer.size);
      heads.push(verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey));
    }
    const last = heads.at(-1) ?? { size: -1, root: EMPTY_ROOT };
    for (const head of heads) {
      const proof = await sequencer.proveConsistency(head.size, last.size);
      verifyConsistency({
        oldSize: head.size,
        oldRoot: head.root,
        newSize: last.size,
        newRoot: last.root,
        proof,
      });
    }
    await expect(sequencer.proveConsistency(0, last.size + 1)).rejects.toMatchObject({ code: "not_found" });
    await expect(sequencer.proveInclusion(last.size, last.size)).rejects.toMatchObject({ code: "not_found" });
    await expect(sequencer.readEntry(last.size)).rejects.toMatchObject({ code: "not_found" });
    await sequencer.stop();
  });

  it("commits together what waits together", async () => {
    const storage = new FaultyLogStorage(new MemoryLogStorage(), {
      failAt: Number.POSITIVE_INFINITY,
      fault: "before",
    });
    const sequencer = create(storage, new MemoryHighWater(), {
      pace: () => new Promise((resolve) => setImmediate(resolve)),
    });
    await sequencer.start();
    const before = storage.writes;
    const appended = await Promise.all(
      Array.from({ length: 500 }, (_, at) => sequencer.append([entryOf(at)])),
    );
    expect(storage.writes - before).toBe(1);
    expect(new Set(appended.map(([one]) => one?.index)).size).toBe(500);
    await sequencer.stop();
  });

  it("does not pause before a tree for which somebody waits, nor when it stops", async () => {
    const never = () => new Promise<void>(() => undefined);
    const sequencer = await started(createMemoryMedium(), new MemoryHighWater(), { pace: never });
    await sequencer.append([entryOf(1)]);
    expect(verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey).size).toBe(0);
    await sequencer.waitForCheckpoint(1);
    await sequencer.append([entryOf(2)]);
    expect(verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey).size).toBe(1);
    await sequencer.stop();
    expect(verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey).size).toBe(2);
  });

  it("takes an entry of exactly the limit and refuses a longer one before sequencing (11)", async () => {
    const sequencer = await started(createMemoryMedium(), new MemoryHighWater());
    await sequencer.append([new Uint8Array(16_384)]);
    await expect(sequencer.append([new Uint8Array(16_385)])).rejects.toMatchObject({
      code: "entry_too_large",
      status: 413,
    });
    await expect(sequencer.append([entryOf(1), new Uint8Array(16_385)])).rejects.toMatchObject({
      code: "entry_too_large",
    });
    expect(sequencer.size).toBe(1);
    await sequencer.stop();
    const wide = await started(createMemoryMedium(), new MemoryHighWater(), { maxEntryBytes: 65_535 });
    await wide.append([new Uint8Array(65_535).fill(7)]);
    await expect(wide.append([new Uint8Array(65_536)])).rejects.toMatchObject({ code: "entry_too_large" });
    await wide.stop();
    expect(() => create(new MemoryLogStorage(), new MemoryHighWater(), { maxEntryBytes: 65_536 })).toThrow(
      expect.objectContaining({ code: "config_invalid" }),
    );
  });

  it("refuses an empty entry and an empty call (11)", async () => {
    const sequencer = await started(createMemoryMedium(), new MemoryHighWater());
    await expect(sequencer.append([])).rejects.toMatchObject({ code: "record_malformed" });
    await expect(sequencer.append([entryOf(1), new Uint8Array(0)])).rejects.toMatchObject({
      code: "record_malformed",
    });
    expect(sequencer.size).toBe(0);
    await sequencer.stop();
  });

  it("refuses entries before start and after stop", async () => {
    const sequencer = create(new MemoryLogStorage(), new MemoryHighWater());
    await expect(sequencer.append([entryOf(1)])).rejects.toMatchObject({ code: "ledger_unavailable" });
    await sequencer.start();
    const last = sequencer.append([entryOf(1)]);
    const stopped = sequencer.stop();
    await expect(sequencer.append([entryOf(2)])).rejects.toMatchObject({ code: "ledger_unavailable" });
    expect((await last)[0]?.index).toBe(0);
    await stopped;
    expect(verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey).size).toBe(1);
  });

  it("refuses early when the backlog is full, and goes on after it drained", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const sequencer = await started(createMemoryMedium(), new MemoryHighWater(), {
      pace: () => held,
      maxEntryBytes: 65_535,
    });
    const big = Array.from({ length: 60 }, () => new Uint8Array(65_535).fill(1));
    for (let call = 0; call < 17; call += 1) await sequencer.append(big);
    await expect(sequencer.append(big)).rejects.toMatchObject({
      code: "ledger_unavailable",
      details: { reason: "backlog" },
    });
    release();
    await sequencer.waitForCheckpoint(sequencer.size);
    await sequencer.append(big);
    await sequencer.stop();
  });

  it("rejects everything after a write of unknown outcome, and says so once", async () => {
    const fatal: unknown[] = [];
    const storage = new FaultyLogStorage(new MemoryLogStorage(), { failAt: 7, fault: "after" });
    const sequencer = create(storage, new MemoryHighWater(), { onFatal: (error) => fatal.push(error) });
    await sequencer.start();
    expect(storage.writes).toBe(6);
    const results = await Promise.allSettled([
      sequencer.append([entryOf(1)]),
      sequencer.append([entryOf(2)]),
    ]);
    for (const result of results)
      expect(result).toMatchObject({ status: "rejected", reason: { code: "ledger_unavailable" } });
    await expect(sequencer.append([entryOf(3)])).rejects.toMatchObject({ code: "ledger_unavailable" });
    await expect(sequencer.waitForCheckpoint(1)).rejects.toMatchObject({ code: "ledger_unavailable" });
    expect(fatal).toHaveLength(1);
    await sequencer.stop();
  });
});

describe("a crash", () => {
  const calls = 7;

  /** Runs a small history on a storage that breaks; returns what was acknowledged. */
  async function runUntilFault(
    medium: MemoryMedium,
    highWater: HighWater,
    { failAt, fault }: { readonly failAt: number; readonly fault: Fault },
  ): Promise<{
    readonly acknowledged: Map<number, string>;
    readonly notes: string[];
    readonly writes: number;
  }> {
    const storage = new FaultyLogStorage(new MemoryLogStorage(medium), { failAt, fault });
    const acknowledged = new Map<number, string>();
    const notes: string[] = [];
    const sequencer = create(storage, highWater);
    try {
      await sequencer.start();
      for (let call = 0; call < calls; call += 1) {
        const entries = Array.from({ length: call % 2 === 0 ? 2 : 150 }, (_, at) => entryOf(`${call}.${at}`));
        const appended: readonly Appended[] = await sequencer.append(entries);
        for (const { index, leafHash: leaf } of appended) acknowledged.set(index, encodeHex(leaf));
        if (call % 3 === 0) await sequencer.waitForCheckpoint(sequencer.size);
        notes.push(sequencer.checkpoint());
      }
      await sequencer.stop();
    } catch {
      // The fault. What matters is what the next start finds.
    }
    medium.isLocked = false;
    return { acknowledged, notes, writes: storage.writes };
  }

  it("at any write keeps every acknowledged entry, nothing half, and one history (21, 42, 46)", async () => {
    const { writes } = await runUntilFault(createMemoryMedium(), new MemoryHighWater(), {
      failAt: Number.POSITIVE_INFINITY,
      fault: "before",
    });
    expect(writes).toBeGreaterThan(25);
    for (let failAt = 1; failAt <= writes; failAt += 1) {
      for (const fault of ["before", "half", "after"] as const) {
        const medium = createMemoryMedium();
        const highWater = new MemoryHighWater();
        const { acknowledged, notes } = await runUntilFault(medium, highWater, { failAt, fault });
        const again = await started(medium, highWater);
        for (const [index, leaf] of acknowledged)
          expect(encodeHex(leafHash(await again.readEntry(index)))).toBe(leaf);
        const texts: string[] = [];
        for (let index = 0; index < again.size; index += 1)
          texts.push(Buffer.from(await again.readEntry(index)).toString());
        const groups = Map.groupBy(texts, (text) => text.split(".")[0]);
        for (const [group, members] of groups)
          expect(members).toHaveLength(Number(group?.slice(6)) % 2 === 0 ? 2 : 150);
        const head = verifyCheckpoint(again.checkpoint(), again.vkey);
        expect(head.size).toBe(again.size);
        for (const note of notes) {
          const old = verifyCheckpoint(note, again.vkey);
          const proof = await again.proveConsistency(old.size, head.size);
          verifyConsistency({
            oldSize: old.size,
            oldRoot: old.root,
            newSize: head.size,
            newRoot: head.root,
            proof,
          });
        }
        await again.append([entryOf("after")]);
        await again.stop();
      }
    }
  });

  it("at any write of the recovery itself is recovered from too", async () => {
    for (let failAt = 1; failAt <= 12; failAt += 1) {
      const medium = createMemoryMedium();
      const highWater = new MemoryHighWater();
      const { acknowledged } = await runUntilFault(medium, highWater, { failAt: 20, fault: "half" });
      const broken = create(
        new FaultyLogStorage(new MemoryLogStorage(medium), { failAt, fault: "half" }),
        highWater,
      );
      await broken.start().then(
        () => broken.stop(),
        () => undefined,
      );
      medium.isLocked = false;
      const again = await started(medium, highWater);
      expect(again.size).toBeGreaterThanOrEqual(acknowledged.size);
      await again.stop();
    }
  });

  it("that tears the last record of the write-ahead log loses only what was never acknowledged", async () => {
    const medium = createMemoryMedium();
    const highWater = new MemoryHighWater();
    const sequencer = await started(medium, highWater, { pace: () => new Promise(() => undefined) });
    await sequencer.append([entryOf(1)]);
    await sequencer.append([entryOf(2), entryOf(3)]);
    const whole = medium.wal.at(-1) ?? new Uint8Array(0);
    for (let length = 0; length <= whole.length; length += 1) {
      const copy = { ...backup(medium), wal: [whole.slice(0, length)] };
      const mark = new MemoryHighWater();
      await mark.raise({ origin, tree: { size: 0, root: EMPTY_ROOT } });
      const again = await started(copy, mark);
      expect([0, 1, 3]).toContain(again.size);
      await again.stop();
    }
  });
});

describe("a start", () => {
  async function history(): Promise<{
    readonly medium: MemoryMedium;
    readonly highWater: MemoryHighWater;
    readonly old: MemoryMedium;
  }> {
    const medium = createMemoryMedium();
    const highWater = new MemoryHighWater();
    const sequencer = await started(medium, highWater);
    await sequencer.append(Array.from({ length: 300 }, (_, at) => entryOf(at)));
    await sequencer.waitForCheckpoint(300);
    const old = backup(medium);
    await sequencer.append([entryOf("new")]);
    await sequencer.stop();
    return { medium, highWater, old };
  }

  it("goes on where the log ended", async () => {
    const { medium, highWater } = await history();
    const again = await started(medium, highWater);
    expect((await again.append([entryOf("x")]))[0]?.index).toBe(301);
    await again.stop();
  });

  it("is refused on an older copy of the data, by the mark outside it (45)", async () => {
    const { highWater, old } = await history();
    await expect(started(old, highWater)).rejects.toMatchObject({ code: "data_rolled_back" });
  });

  it("is refused on no data where a log was, and on a log without its mark (45)", async () => {
    const { medium, highWater } = await history();
    await expect(started(createMemoryMedium(), highWater)).rejects.toMatchObject({
      code: "data_rolled_back",
    });
    await expect(started(medium, new MemoryHighWater())).rejects.toMatchObject({ code: "data_rolled_back" });
    expect(medium.isLocked).toBe(false);
    await expect(started({ ...medium, state: null }, new MemoryHighWater())).rejects.toMatchObject({
      code: "data_rolled_back",
    });
  });

  it("is refused when the published checkpoint is newer than the state (21)", async () => {
    const { medium, old } = await history();
    const mark = new MemoryHighWater();
    await mark.raise({ origin, tree: { size: 0, root: EMPTY_ROOT } });
    old.files.set("checkpoint", medium.files.get("checkpoint") ?? new Uint8Array(0));
    await expect(started(old, mark)).rejects.toMatchObject({ code: "data_rolled_back" });
  });

  it("is refused when another root was published for its size (21)", async () => {
    const { medium, highWater } = await history();
    const other = issueCheckpoint({ origin, size: 301, root: leafHash(Uint8Array.of(1)) }, signer);
    medium.files.set("checkpoint", encodeUtf8(other));
    await expect(started(medium, highWater)).rejects.toMatchObject({ code: "ledger_corrupt" });
  });

  it("is refused when the mark remembers another root (21)", async () => {
    const { medium } = await history();
    const mark = new MemoryHighWater();
    await mark.raise({ origin, tree: { size: 300, root: leafHash(Uint8Array.of(1)) } });
    await expect(started(medium, mark)).rejects.toMatchObject({ code: "data_rolled_back" });
    const foreign = new MemoryHighWater();
    await foreign.raise({ origin: "other.test/log" });
    await expect(started(medium, foreign)).rejects.toMatchObject({ code: "data_rolled_back" });
  });

  it("is refused when a file at the edge is gone or has any bit flipped", async () => {
    const { medium, highWater } = await history();
    const edge = ["tile/0/001.p/45", "tile/entries/001.p/45", "tile/1/000.p/1", "checkpoint"];
    for (const path of edge) {
      const bytes = medium.files.get(path);
      if (bytes === undefined) throw new Error(`no ${path}`);
      if (path !== "checkpoint") {
        const without = backup(medium);
        without.files.delete(path);
        await expect(started(without, highWater)).rejects.toMatchObject({ code: "ledger_corrupt" });
      }
      for (let at = 0; at < bytes.length; at += 13) {
        const flipped = backup(medium);
        flipped.files.set(path, bytes.with(at, (bytes[at] ?? 0) ^ 1));
        await expect(started(flipped, highWater)).rejects.toMatchObject({ code: "ledger_corrupt" });
      }
    }
  });

  it("is refused when any bit of the state is flipped, or goes on with the same history", async () => {
    const { medium, highWater } = await history();
    const state = medium.state ?? new Uint8Array(0);
    for (let at = 0; at < state.length; at += 3) {
      const flipped = { ...backup(medium), state: state.with(at, (state[at] ?? 0) ^ 1) };
      await expect(started(flipped, highWater)).rejects.toMatchObject({
        code: expect.stringMatching(/ledger_corrupt|data_rolled_back/),
      });
    }
  });

  it("is refused when a durable record of the write-ahead log was damaged, wherever the bit is", async () => {
    const medium = createMemoryMedium();
    const highWater = new MemoryHighWater();
    const sequencer = await started(medium, highWater, { pace: () => new Promise(() => undefined) });
    for (let at = 0; at < 4; at += 1) await sequencer.append([entryOf(at)]);
    const wal = medium.wal.at(-1) ?? new Uint8Array(0);
    expect(wal.length).toBeGreaterThan(200);
    for (let at = 0; at < wal.length; at += 1) {
      const flipped = { ...backup(medium), wal: [wal.with(at, (wal[at] ?? 0) ^ 16)] };
      await expect(started(flipped, highWater)).rejects.toMatchObject({ code: "ledger_corrupt" });
    }
  });

  it("is refused for a damaged record before prepared space too, whatever its place in a sector", async () => {
    const medium = createMemoryMedium();
    const highWater = new MemoryHighWater();
    const sequencer = await started(medium, highWater, { pace: () => new Promise(() => undefined) });
    for (let at = 0; at < 9; at += 1) await sequencer.append([entryOf("x".repeat(at * 29))]);
    const written = medium.wal.at(-1) ?? new Uint8Array(0);
    expect(written.length).toBeGreaterThan(1024);
    const wal = Buffer.concat([written, new Uint8Array(4096)]);
    for (let at = 0; at < written.length; at += 1) {
      const flipped = { ...backup(medium), wal: [wal.with(at, (wal[at] ?? 0) ^ 16)] };
      await expect(started(flipped, highWater)).rejects.toMatchObject({ code: "ledger_corrupt" });
    }
  });

  it("is refused when a sector is gone that a later record says was durable", async () => {
    const medium = createMemoryMedium();
    const highWater = new MemoryHighWater();
    const sequencer = await started(medium, highWater, { pace: () => new Promise(() => undefined) });
    for (let at = 0; at < 4; at += 1) await sequencer.append([entryOf("x".repeat(600))]);
    const wal = medium.wal.at(-1) ?? new Uint8Array(0);
    const perRecord = wal.length / 4;
    const withoutSector = (at: number) => [Uint8Array.from(wal).fill(0, at, Math.min(at + 512, wal.length))];
    for (const at of [0, 512, 1024]) {
      expect(at).toBeLessThan(3 * perRecord);
      const start = started({ ...backup(medium), wal: withoutSector(at) }, highWater);
      await expect(start).rejects.toMatchObject({ code: "ledger_corrupt" });
    }
    // The last record alone may have been torn by a crash before it was acknowledged.
    await expectSize({ ...backup(medium), wal: withoutSector(2048) }, 3);
  });

  it("drops whichever sectors of the last record a crash left unwritten", async () => {
    const medium = createMemoryMedium();
    const highWater = new MemoryHighWater();
    const sequencer = await started(medium, highWater, { pace: () => new Promise(() => undefined) });
    await sequencer.append([entryOf("y".repeat(430))]);
    const before = (medium.wal.at(-1) ?? new Uint8Array(0)).length;
    await sequencer.append([entryOf("x".repeat(1300))]);
    const wal = Buffer.concat([medium.wal.at(-1) ?? new Uint8Array(0), new Uint8Array(4096)]);
    // Its header straddles the first two of four sectors.
    expect(before).toBeLessThan(512);
    expect(before + 36).toBeGreaterThan(512);
    for (let lost = 1; lost < 16; lost += 1) {
      const torn = Uint8Array.from(wal);
      for (const sector of [0, 1, 2, 3].filter((bit) => (lost & (1 << bit)) !== 0)) {
        torn.fill(0, Math.max(before, sector * 512), (sector + 1) * 512);
      }
      await expectSize({ ...backup(medium), wal: [torn] }, 1);
    }
    // A write may also be cut off between any two bytes; only its last few could be an honest record's zeros.
    for (let length = before; length < before + 1300; length += 1) {
      const cut = Buffer.concat([wal.subarray(0, length), new Uint8Array(6000 - length)]);
      await expectSize({ ...backup(medium), wal: [cut] }, 1);
    }
  });

  async function expectSize(copy: MemoryMedium, size: number): Promise<void> {
    const mark = new MemoryHighWater();
    await mark.raise({ origin, tree: { size: 0, root: EMPTY_ROOT } });
    const again = await started(copy, mark);
    expect(again.size).toBe(size);
    await again.stop();
  }

  it("drops an unwritten end of the write-ahead log, which reads as zeros", async () => {
    const medium = createMemoryMedium();
    const highWater = new MemoryHighWater();
    const sequencer = await started(medium, highWater, { pace: () => new Promise(() => undefined) });
    await sequencer.append([entryOf(1)]);
    const wal = medium.wal.at(-1) ?? new Uint8Array(0);
    const torn = { ...backup(medium), wal: [Buffer.concat([wal, new Uint8Array(1000)])] };
    const again = await started(torn, highWater);
    expect(again.size).toBe(1);
    await again.stop();
  });

  it("is refused when the write-ahead log begins after the tiles end", async () => {
    const { medium, highWater } = await history();
    for (const [first, code] of [
      [302, "ledger_corrupt"],
      [301, null],
    ] as const) {
      const wal = [encodeWalRecord({ first, entries: [entryOf("x")] })];
      const start = started({ ...backup(medium), wal }, highWater);
      if (code === null) await (await start).stop();
      else await expect(start).rejects.toMatchObject({ code });
    }
  });

  it("finds one writer only (44)", async () => {
    const { medium, highWater } = await history();
    const one = await started(medium, highWater);
    await expect(started(medium, highWater)).rejects.toMatchObject({ code: "data_locked" });
    await one.append([entryOf("x")]);
    await one.stop();
  });

  it("does not mind a clock that jumps backwards (47)", async () => {
    let now = 2_000_000_000;
    const sequencer = await started(createMemoryMedium(), new MemoryHighWater(), { now: () => now });
    await sequencer.append([entryOf(1)]);
    await sequencer.waitForCheckpoint(1);
    now = 5;
    await sequencer.append([entryOf(2)]);
    await sequencer.waitForCheckpoint(2);
    expect(verifyCheckpoint(sequencer.checkpoint(), sequencer.vkey).size).toBe(2);
    await sequencer.stop();
  });
});

describe("partial tiles", () => {
  it("of every published size can be read until the full tile exists, and the full one then stands for them (13)", async () => {
    const medium = createMemoryMedium();
    const sequencer = await started(medium, new MemoryHighWater());
    for (let size = 1; size <= 260; size += 1) {
      await sequencer.append([entryOf(size)]);
      await sequencer.waitForCheckpoint(size);
      for (let old = 1; old <= Math.min(size, 255); old += 50) {
        expect(medium.files.has(`tile/0/000.p/${old}`)).toBe(size < 256);
        await sequencer.proveInclusion(old - 1, old);
      }
    }
    expect(medium.files.has("tile/0/000")).toBe(true);
    await sequencer.stop();
  });
});

describe("damage inside the tree", () => {
  it("is never served as a proof or an entry", async () => {
    const medium = createMemoryMedium();
    const sequencer = await started(medium, new MemoryHighWater());
    await sequencer.append(Array.from({ length: 600 }, (_, at) => entryOf(at)));
    await sequencer.waitForCheckpoint(600);
    const tile = medium.files.get("tile/0/000") ?? new Uint8Array(0);
    const bundle = medium.files.get("tile/entries/000") ?? new Uint8Array(0);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 255 }),
        fc.integer({ min: 0, max: 255 }),
        async (index, bit) => {
          const at = index * 32 + (bit >> 3);
          medium.files.set("tile/0/000", tile.with(at, (tile[at] ?? 0) ^ (1 << (bit & 7))));
          await expect(sequencer.proveInclusion(index, 600)).rejects.toMatchObject({
            code: "ledger_corrupt",
          });
          await expect(sequencer.readEntry(index)).rejects.toMatchObject({ code: "ledger_corrupt" });
          medium.files.set("tile/0/000", tile);
          const place = (index * 7) % bundle.length;
          medium.files.set("tile/entries/000", bundle.with(place, (bundle[place] ?? 0) ^ 1));
          const reads = await Promise.allSettled(
            Array.from({ length: 256 }, (_, one) => sequencer.readEntry(one)),
          );
          expect(reads.some(({ status }) => status === "rejected")).toBe(true);
          medium.files.set("tile/entries/000", bundle);
        },
      ),
      { numRuns: 30 },
    );
    await sequencer.stop();
  });
});
