import { describe, expect, it } from "vitest";
import { encodeHex, encodeUtf8, parseUtf8 } from "../bytes.ts";
import { verifyAcknowledgement } from "./acknowledgement.ts";
import { auditShards } from "./audit-shards.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { createTestLogSigner, type Fault, FaultyLogStorage } from "./ledger.test.support.ts";
import { type LogKeys, oneLogKey } from "./log-keys.ts";
import {
  createMemoryMedium,
  MemoryHighWater,
  MemoryLogStorage,
  type MemoryMedium,
} from "./memory-log-storage.ts";
import { leafHash } from "./merkle.ts";
import type { HighWater, LogStorage } from "./ports.ts";
import {
  encodeShardEnd,
  encodeShardStart,
  isSameLogKey,
  isShardMark,
  isShardSuccessor,
  nextShardName,
  parseShardEnd,
  parseShardStart,
  type ShardName,
  shardOrigin,
  verifyShardCheckpoint,
  vkeyFor,
} from "./shard.ts";
import { ShardedLog, type ShardedLogOptions } from "./sharded-log.ts";
import { ALGORITHM_COSIGNATURE, formatVkey, rawEd25519Key } from "./signed-note.ts";

const ledger = "ledger.acme.test";
const signer = createTestLogSigner();
const later = createTestLogSigner(2);
const names = ["2027q1", "2027q2"] as const;
/** Of the ledger's first key, and of another that a shard may have. */
const keys: LogKeys = {
  first: signer.publicKey,
  signerOf: (vkey) =>
    isSameLogKey(vkey, formatVkey("later", rawEd25519Key(later.publicKey)))
      ? later
      : oneLogKey(signer).signerOf(vkey),
};

/** What is left when a process ends: the media of the shards and the mark kept elsewhere. */
class Place {
  readonly media = new Map<ShardName, MemoryMedium>();
  highWater: HighWater = new MemoryHighWater();

  medium(name: ShardName): MemoryMedium {
    const medium = this.media.get(name) ?? createMemoryMedium();
    this.media.set(name, medium);
    return medium;
  }

  /** A log on it; a process that crashed holds no lock any more. */
  open(
    wrap: (storage: LogStorage) => LogStorage = (storage) => storage,
    more: Partial<ShardedLogOptions> = {},
  ): ShardedLog {
    for (const medium of this.media.values()) medium.isLocked = false;
    return new ShardedLog({
      ledger,
      keys,
      highWater: this.highWater,
      openShard: (name) => ({
        storage: wrap(new MemoryLogStorage(this.medium(name))),
        reader: new MemoryLogStorage(this.medium(name)),
      }),
      now: () => 1_795_000_000,
      onFatal: () => undefined,
      ...more,
    });
  }

  async started(...args: Parameters<Place["open"]>): Promise<ShardedLog> {
    const log = this.open(...args);
    await log.start();
    return log;
  }
}

const entryOf = (text: string | number) => encodeUtf8(`entry ${text}`);

async function textsOf(log: ShardedLog): Promise<readonly string[]> {
  const texts: string[] = [];
  for (let position = 0; position < log.size; position += 1) {
    const entry = await log.readEntry(position);
    texts.push(isShardMark(entry) ? "mark" : parseUtf8(entry));
  }
  return texts;
}

describe("a ledger of shards", () => {
  it("goes on in the next shard, with positions that count through and promises under the ledger's name", async () => {
    const place = new Place();
    const log = await place.started();
    await log.append([entryOf(0), entryOf(1)]);
    const begun = await log.turn("2027q1");
    expect(begun).toMatchObject({ name: "2027q1", origin: `${ledger}/2027q1`, first: 3, isFrozen: false });
    const [appended] = await log.append([entryOf(2)]);
    expect(appended?.index).toBe(4);
    const promise = verifyAcknowledgement(appended?.acknowledgement ?? "", log.vkey);
    expect(promise).toMatchObject({ origin: ledger, index: 4 });
    expect(encodeHex(promise.leafHash)).toBe(encodeHex(leafHash(entryOf(2))));
    expect(await textsOf(log)).toEqual(["entry 0", "entry 1", "mark", "mark", "entry 2"]);
    await log.waitForCheckpoint(5);
    expect(log.publishedSize()).toBe(5);
    for (const position of [0, 4]) {
      const shard = log.shardAt(position);
      const { size, root } = verifyShardCheckpoint(shard.log.checkpoint(), log.vkey);
      const index = position - shard.first;
      const leaf = leafHash(await log.readEntry(position));
      verifyInclusion({ index, size, leaf, proof: await shard.log.proveInclusion(index, size), root });
    }
    await log.stop();
    const again = await place.started();
    expect(again.shards.map(({ name, isFrozen }) => [name, isFrozen])).toEqual([
      [null, true],
      ["2027q1", false],
    ]);
    expect((await again.append([entryOf(3)]))[0]?.index).toBe(5);
    await again.stop();
  });

  it("names each neighbour at both ends, under the final checkpoint of the shard before", async () => {
    const log = await new Place().started();
    await log.append([entryOf(0)]);
    const { vkey, first } = await log.turn("2027q1");
    const [old] = log.shards;
    const final = old?.log.checkpoint() ?? "";
    expect(verifyCheckpoint(final, log.vkey).size).toBe(2);
    expect(parseShardEnd(await log.readEntry(1))).toBe(vkey);
    expect(parseShardStart(await log.readEntry(2))).toEqual({ first, note: final });
    await log.stop();
  });

  it("keeps the order of entries that come while it turns, each once", async () => {
    const log = await new Place().started();
    const appended = [log.append([entryOf(0)]), log.append([entryOf(1)])];
    const turned = log.turn("2027q1");
    appended.push(log.append([entryOf(2)]), log.append([entryOf(3), entryOf(4)]));
    await Promise.all([turned, ...appended]);
    expect(await textsOf(log)).toEqual([
      ..."01".split("").map((text) => `entry ${text}`),
      ...["mark", "mark"],
      ..."234".split("").map((text) => `entry ${text}`),
    ]);
    await log.stop();
  });

  it("is one turn, however many ask for it at once", async () => {
    const log = await new Place().started();
    await Promise.all([log.turn("2027q1"), log.turn("2027q1")]);
    expect(log.shards).toHaveLength(2);
    await log.stop();
  });

  it("refuses what is no name of a shard, and goes on", async () => {
    const log = await new Place().started();
    for (const name of ["", "2027", "2027q5", "../x", "2027q1.1", "2027q1.01"])
      await expect(log.turn(name)).rejects.toMatchObject({ code: "checkpoint_malformed" });
    await log.append([entryOf(0)]);
    await log.stop();
  });

  it("goes on under another key from a turn on, when the end of the shard before names it", async () => {
    const place = new Place();
    const log = await place.started();
    const { vkey } = await log.turn("2027q1", later.publicKey);
    expect(isSameLogKey(vkey, log.vkey)).toBe(false);
    expect(parseShardEnd(await log.readEntry(0))).toBe(vkey);
    const [promised] = await log.append([entryOf(1)]);
    const promise = promised?.acknowledgement ?? "";
    expect(verifyAcknowledgement(promise, vkeyFor(vkey, ledger)).index).toBe(2);
    expect(() => verifyAcknowledgement(promise, log.vkey)).toThrow();
    // A turn without a key goes on with that of the shard that ends.
    expect(isSameLogKey((await log.turn("2027q2")).vkey, vkey)).toBe(true);
    await log.stop();
    const again = await place.started();
    expect(again.current).toMatchObject({ name: "2027q2", vkey: vkeyFor(vkey, `${ledger}/2027q2`) });
    await again.stop();
    await expect(place.started(undefined, { keys: oneLogKey(signer) })).rejects.toMatchObject({
      code: "signer_unavailable",
    });
  });

  it("keeps the epoch of the mark over a turn", async () => {
    const place = new Place();
    const log = await place.started();
    await log.append([entryOf(0)]);
    await place.highWater.raise({ epoch: 7 });
    await log.turn("2027q1");
    expect(await place.highWater.read()).toMatchObject({ origin: `${ledger}/2027q1`, epoch: 7 });
    await place.highWater.raise({ epoch: 8 });
    expect((await place.highWater.read())?.epoch).toBe(8);
    await log.stop();
  });
});

describe("an audit", () => {
  it("reports an end that names nobody, and goes through what is before it", async () => {
    const place = new Place();
    const log = place.open();
    await log.start();
    const end = encodeUtf8("trustwarden.dev/shard-end@v1\nnext nobody\n");
    await log.append([encodeUtf8("a"), end]);
    await log.stop();
    const found: unknown[] = [];
    const steps: string[] = [];
    const source = { reader: new MemoryLogStorage(place.medium(null)), vkey: log.vkey };
    for await (const { kind } of auditShards(source, ({ code, place: at }) => found.push([code, at])))
      steps.push(kind);
    expect(found).toEqual([["shard_mismatch", "entry 1"]]);
    expect(steps).toEqual(["shard", "entry", "entry"]);
  });
});

describe("a crash while it turns", () => {
  const acknowledged: string[] = [];

  async function run(place: Place, options: { readonly failAt: number; readonly fault: Fault }) {
    acknowledged.length = 0;
    const count = { writes: 0 };
    const log = place.open((storage) => new FaultyLogStorage(storage, { ...options, count }));
    const append = async (text: number) => {
      await log.append([entryOf(text)]);
      acknowledged.push(`entry ${text}`);
    };
    try {
      await log.start();
      await append(0);
      for (const [index, name] of names.entries()) {
        const turned = log.turn(name, index === 0 ? later.publicKey : undefined);
        await Promise.all([append(10 * index + 1), append(10 * index + 2), turned]);
      }
      await append(99);
      await log.stop();
    } catch {
      // The fault. What matters is what the next start finds.
    }
    return count.writes;
  }

  it("loses nothing acknowledged, doubles nothing, and leaves one live shard, at whichever write it comes", async () => {
    const writes = await run(new Place(), { failAt: Number.POSITIVE_INFINITY, fault: "before" });
    expect(writes).toBeGreaterThan(20);
    for (let failAt = 1; failAt <= writes; failAt += 1) {
      for (const fault of ["before", "half", "after"] as const) {
        const place = new Place();
        await run(place, { failAt, fault });
        const log = await place.started();
        const entries = (await textsOf(log)).filter((text) => text !== "mark");
        expect(new Set(entries).size).toBe(entries.length);
        expect(entries).toEqual(expect.arrayContaining([...acknowledged]));
        expect(log.shards.filter(({ isFrozen }) => !isFrozen)).toHaveLength(1);
        await log.append([entryOf("after the crash")]);
        await log.stop();
        const again = await place.started();
        expect((await textsOf(again)).at(-1)).toBe("entry after the crash");
        await again.stop();
      }
    }
  });
});

describe("a chain that does not hold", () => {
  async function twoShards(): Promise<Place> {
    const place = new Place();
    const log = await place.started();
    await log.append([entryOf(0)]);
    await log.turn("2027q1");
    await log.append([entryOf(1)]);
    await log.stop();
    return place;
  }

  it("is refused when the first shard is an older copy that has not ended", async () => {
    const place = new Place();
    const log = await place.started();
    await log.append([entryOf(0)]);
    await log.stop();
    const { files, wal, state } = place.medium(null);
    const copy = { files: new Map(files), wal: [...wal], state, isLocked: false };
    const second = await place.started();
    await second.turn("2027q1");
    await second.stop();
    place.media.set(null, copy);
    await expect(place.started()).rejects.toMatchObject({ code: "data_rolled_back" });
  });

  it("is refused when the shard that the last one names is gone", async () => {
    const place = await twoShards();
    place.media.delete("2027q1");
    await expect(place.started()).rejects.toMatchObject({ code: "data_rolled_back" });
  });

  it("is refused when a shard is of another chain", async () => {
    const place = await twoShards();
    const other = new Place();
    const log = await other.started();
    await log.append([entryOf("another")]);
    await log.turn("2027q1");
    await log.stop();
    other.media.set(null, place.medium(null));
    await expect(other.started()).rejects.toMatchObject({ code: "ledger_corrupt" });
  });

  it("is refused when a frozen shard's tiles are not what was signed", async () => {
    const place = await twoShards();
    const { files } = place.medium(null);
    const path = [...files.keys()].findLast((name) => name.startsWith("tile/0/")) ?? "";
    const damaged = files.get(path)?.slice() ?? new Uint8Array(1);
    damaged[0] = (damaged[0] ?? 0) ^ 1;
    files.set(path, damaged);
    await expect(place.started()).rejects.toMatchObject({ code: "ledger_corrupt" });
  });
});

describe("names of shards", () => {
  it("are quarters, and only rise", () => {
    expect(nextShardName(null, Date.UTC(2026, 9, 1))).toBe("2026q4");
    expect(nextShardName("2026q4", Date.UTC(2026, 11, 31))).toBe("2026q4.2");
    expect(nextShardName("2026q4.2", Date.UTC(2026, 11, 31))).toBe("2026q4.3");
    expect(nextShardName("2026q4.2", Date.UTC(2027, 0, 1))).toBe("2027q1");
    expect(nextShardName("2030q1", Date.UTC(2027, 0, 1))).toBe("2030q1.2");
    expect(shardOrigin(ledger, null)).toBe(ledger);
  });

  it("follow one another, and never an earlier one or another ledger's", () => {
    const [first, second, third] = [ledger, `${ledger}/2027q1`, `${ledger}/2027q1.2`];
    expect(isShardSuccessor(first, second)).toBe(true);
    expect(isShardSuccessor(second, third)).toBe(true);
    for (const [origin, next] of [
      [second, first],
      [third, second],
      [second, second],
      [second, "ledger.other.test/2028q1"],
      [first, `${first}/else`],
    ] as const)
      expect(isShardSuccessor(origin, next)).toBe(false);
  });

  it("take no checkpoint of another ledger or key", async () => {
    const log = await new Place().started();
    await log.append([entryOf(0)]);
    await log.turn("2027q1");
    const note = log.current.log.checkpoint();
    await log.stop();
    const others = vkeyFor(log.vkey, "ledger.other.test");
    expect(() => verifyShardCheckpoint(note, others)).toThrow(
      expect.objectContaining({ code: "checkpoint_untrusted" }),
    );
    expect(verifyShardCheckpoint(note, log.vkey).origin).toBe(`${ledger}/2027q1`);
  });

  it("are no marks when they are cut or anything else", () => {
    const mark = encodeShardStart({ first: 5, note: "a\n" });
    expect(isShardMark(mark)).toBe(true);
    expect(parseShardStart(mark)).toEqual({ first: 5, note: "a\n" });
    expect(parseShardStart(mark.subarray(0, 30))).toBeNull();
    expect(parseShardStart(encodeUtf8("{}"))).toBeNull();
    expect(parseShardEnd(mark)).toBeNull();
  });

  it("name a log's key, and no witness's", () => {
    const name = `${ledger}/2026q4`;
    const raw = new Uint8Array(32).fill(9);
    const [own, witness] = [formatVkey(name, raw), formatVkey(name, raw, ALGORITHM_COSIGNATURE)];
    expect(parseShardEnd(encodeShardEnd(own))).toBe(own);
    expect(() => parseShardEnd(encodeShardEnd(witness))).toThrow(
      expect.objectContaining({ code: "checkpoint_malformed" }),
    );
  });
});
