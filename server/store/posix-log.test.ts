import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { type Fault, FaultyLogStorage } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { describeLogStorageContract } from "@trustwarden/core/agentledger/log-storage.test.support.ts";
import { EMPTY_ROOT, leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import type { LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import type { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeWalRecord, parseWal } from "@trustwarden/core/agentledger/wal.ts";
import { encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, describe, expect, it } from "vitest";
import { describeLogCrashMatrix } from "./log-crash.test.support.ts";
import { type LogPlace, sequencerOf } from "./log-place.test.support.ts";
import { auditPlace, startWriter } from "./log-writer-process.test.support.ts";
import { PosixLogStorage } from "./posix-log.ts";
import { createPosixHighWater } from "./posix-log-high-water.ts";

const root = mkdtempSync(join(tmpdir(), "posix-log-"));
let places = 0;
afterAll(() => rmSync(root, { recursive: true, force: true }));

function freshPlace(): LogPlace {
  places += 1;
  const origin = "ledger.acme.test/2026q4";
  return { origin, directory: join(root, `log${places}`), mark: join(root, `mark${places}`) };
}

function create(place: LogPlace, wrap?: (storage: LogStorage) => LogStorage): Sequencer {
  return sequencerOf(place, wrap === undefined ? {} : { wrap });
}

describeLogStorageContract("PosixLogStorage", () => {
  const { directory } = freshPlace();
  return { connect: () => new PosixLogStorage(directory) };
});

describeLogCrashMatrix("PosixLogStorage", freshPlace);

describe("a log directory", () => {
  it("is the tlog-tiles layout beside the writer's own files, readable by its user only", async () => {
    const place = freshPlace();
    const sequencer = create(place);
    await sequencer.start();
    await sequencer.append(Array.from({ length: 300 }, (_, at) => encodeUtf8(`entry ${at}`)));
    await sequencer.stop();
    expect(readdirSync(place.directory).sort()).toEqual([
      "checkpoint",
      "lock",
      "state.json",
      "tile",
      "tmp",
      "wal",
    ]);
    expect(readdirSync(join(place.directory, "tile/0")).sort()).toEqual(["000", "001.p"]);
    expect(statSync(join(place.directory, "tile/0/000")).size).toBe(8192);
    expect(statSync(join(place.directory, "tile/0/000")).mode & 0o077).toBe(0);
    expect(statSync(join(place.directory, "tile")).mode & 0o077).toBe(0);
    expect(readdirSync(join(place.directory, "tmp"))).toEqual([]);
  });

  it("gives nothing but tiles to a path from outside", async () => {
    const place = freshPlace();
    const storage = new PosixLogStorage(place.directory);
    await storage.open();
    for (const path of [
      "state.json",
      "../mark",
      "tile/../state.json",
      "/etc/passwd",
      "tile/0/000\u0000",
      "lock",
    ]) {
      await expect(storage.readObject(path)).rejects.toMatchObject({ code: "not_found" });
    }
    await storage.close();
  });

  it("stays locked against another process and is free again when that one is killed (44)", async () => {
    const place = freshPlace();
    const { child, ended } = await startWriter(place, { run: "lock", work: "told" });
    await expect(create(place).start()).rejects.toMatchObject({ code: "data_locked" });
    child.kill("SIGKILL");
    await ended;
    const again = create(place);
    await again.start();
    await again.stop();
  });

  it("keeps records in order and whole, across prepared space and beyond a single preparation", async () => {
    const storage = new PosixLogStorage(freshPlace().directory);
    await storage.open();
    const sizes = [1, 60_000, 3_000_000, ...Array.from({ length: 80 }, (_, at) => 9_000 + at)];
    for (const [first, size] of sizes.entries()) {
      const parts = Array.from({ length: Math.ceil(size / 60_000) }, () => new Uint8Array(60_000).fill(7));
      await storage.appendWal(
        encodeWalRecord({ first, entries: [new Uint8Array(size % 60_000).fill(9), ...parts] }),
      );
    }
    const [segment = new Uint8Array(0)] = await storage.readWal();
    const records = parseWal(segment);
    expect(records.map(({ first }) => first)).toEqual([...sizes.keys()]);
    expect(records.map(({ entries }) => entries[0]?.length)).toEqual(sizes.map((size) => size % 60_000));
    await storage.close();
  });

  it("accepts no write after one that failed", async () => {
    const storage = new PosixLogStorage(freshPlace().directory);
    await storage.open();
    await storage.writeObjects([{ path: "tile/0/000", bytes: Uint8Array.of(1) }]);
    await expect(
      storage.writeObjects([{ path: "tile/0/000", bytes: Uint8Array.of(2) }]),
    ).rejects.toMatchObject({ code: "ledger_corrupt" });
    await expect(storage.appendWal(Uint8Array.of(1))).rejects.toMatchObject({ code: "store_unavailable" });
    await storage.close();
  });
});

describe("the high-water mark", () => {
  it("takes many raises together, each with an answer of its own", async () => {
    const { directory, mark } = freshPlace();
    const origin = "ledger.acme.test/2026q4";
    const highWater = createPosixHighWater({ path: mark, dataDirectory: directory });
    const raises = Array.from({ length: 100 }, (_, epoch) => highWater.raise({ origin, epoch }));
    const contradiction = highWater.raise({ origin: "other.test/log", epoch: 200 });
    const last = highWater.raise({ origin, epoch: 100 });
    await expect(contradiction).rejects.toMatchObject({ code: "data_rolled_back" });
    await Promise.all([...raises, last]);
    expect(await highWater.read()).toMatchObject({ origin, epoch: 100 });
    await highWater.raise({ origin, epoch: 101 });
    expect(await highWater.read()).toMatchObject({ epoch: 101 });
  });

  it("only rises, size and epoch apart, and survives", async () => {
    const { directory, mark } = freshPlace();
    const origin = "ledger.acme.test/2026q4";
    const highWater = createPosixHighWater({ path: mark, dataDirectory: directory });
    expect(await highWater.read()).toBeNull();
    const leaf = leafHash(Uint8Array.of(1));
    await Promise.all([
      highWater.raise({ origin, tree: { size: 5, root: leaf } }),
      highWater.raise({ origin, epoch: 9 }),
      highWater.raise({ origin, tree: { size: 3, root: EMPTY_ROOT }, epoch: 2 }),
    ]);
    const read = await createPosixHighWater({ path: mark, dataDirectory: directory }).read();
    expect(read).toMatchObject({ origin, size: 5, epoch: 9 });
    await expect(highWater.raise({ origin, tree: { size: 5, root: EMPTY_ROOT } })).rejects.toMatchObject({
      code: "data_rolled_back",
    });
    await expect(highWater.raise({ origin: "other.test/log", epoch: 10 })).rejects.toMatchObject({
      code: "data_rolled_back",
    });
    writeFileSync(mark, "{}");
    await expect(highWater.read()).rejects.toMatchObject({ code: "data_rolled_back" });
  });

  it("is refused inside the data directory", () => {
    const refused = expect.objectContaining({ code: "config_invalid" });
    for (const path of ["/data/log/mark", "/data/log/a/../mark", "/data/log"]) {
      expect(() => createPosixHighWater({ path, dataDirectory: "/data/log" })).toThrow(refused);
    }
    for (const path of ["/data/mark", "/data/log-mark", "/data/..log"])
      createPosixHighWater({ path, dataDirectory: "/data/log" });
  });

  it("is refused inside the data directory also by another name of it", () => {
    const alias = `${root}-alias`;
    symlinkSync(root, alias);
    expect(() => createPosixHighWater({ path: join(alias, "mark"), dataDirectory: root })).toThrow(
      expect.objectContaining({ code: "config_invalid" }),
    );
    rmSync(alias);
  });
});

describe("a crash of a log on disk", () => {
  it("at any write keeps every acknowledged entry and nothing half (42, 46)", async () => {
    const run = async (place: LogPlace, failAt: number, fault: Fault) => {
      let faulty: FaultyLogStorage | null = null;
      const acknowledged = new Map<number, string>();
      const sequencer = create(place, (storage) => {
        faulty = new FaultyLogStorage(storage, { failAt, fault });
        return faulty;
      });
      try {
        await sequencer.start();
        for (const count of [2, 254, 2, 2]) {
          const appended = await sequencer.append(
            Array.from({ length: count }, (_, at) => encodeUtf8(`${count}.${at}`)),
          );
          for (const { index, leafHash: leaf } of appended) acknowledged.set(index, encodeHex(leaf));
          await sequencer.waitForCheckpoint(sequencer.size);
        }
      } catch {
        // The fault. What matters is what the next start finds.
      }
      await sequencer.stop().catch(() => undefined);
      return { acknowledged, writes: faulty === null ? 0 : (faulty as FaultyLogStorage).writes };
    };
    const { writes } = await run(freshPlace(), Number.POSITIVE_INFINITY, "before");
    expect(writes).toBeGreaterThan(20);
    for (let failAt = 1; failAt <= writes; failAt += 1) {
      for (const fault of ["half", "after"] as const) {
        const place = freshPlace();
        const { acknowledged } = await run(place, failAt, fault);
        const again = create(place);
        await again.start();
        for (const [index, leaf] of acknowledged)
          expect(encodeHex(leafHash(await again.readEntry(index)))).toBe(leaf);
        expect([0, 2, 256, 258, 260]).toContain(again.size);
        expect(verifyCheckpoint(again.checkpoint(), again.vkey).size).toBe(again.size);
        await again.stop();
      }
    }
  });

  it("by kill -9 at random moments loses no acknowledged entry, and the log goes on (42)", async () => {
    const place = freshPlace();
    const acknowledged = new Map<number, string>();
    for (let round = 0; round < 6; round += 1) {
      const writer = await startWriter(place, { run: String(round), work: "endless" });
      await setTimeout(3 + ((round * 37) % 120));
      writer.child.kill("SIGKILL");
      await writer.ended;
      for (const [index, leaf] of writer.acknowledged) acknowledged.set(index, leaf);
    }
    expect(acknowledged.size).toBeGreaterThan(20);
    expect(await auditPlace(place, acknowledged)).toBeGreaterThanOrEqual(acknowledged.size);
  });

  it("is noticed after an old copy of the directory is put back (45)", async () => {
    const place = freshPlace();
    const one = create(place);
    await one.start();
    await one.append([encodeUtf8("a")]);
    await one.stop();
    const [state, checkpoint] = ["state.json", "checkpoint"].map((name) =>
      readFileSync(join(place.directory, name)),
    );
    const two = create(place);
    await two.start();
    await two.append([encodeUtf8("b")]);
    await two.stop();
    writeFileSync(join(place.directory, "state.json"), state ?? "");
    writeFileSync(join(place.directory, "checkpoint"), checkpoint ?? "");
    await expect(create(place).start()).rejects.toMatchObject({ code: "data_rolled_back" });
  });
});
