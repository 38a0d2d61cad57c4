/** The end of a ledger as a server has it that follows it, where records are gone from the write-ahead log before it looks. */
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import type { LogTail } from "@trustwarden/core/agentledger/log-tail.ts";
import {
  createMemoryMedium,
  MemoryHighWater,
  MemoryLogStorage,
} from "@trustwarden/core/agentledger/memory-log-storage.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { CHECKPOINT_PATH } from "@trustwarden/core/agentledger/tile.ts";
import { encodeWalRecord, parseWal } from "@trustwarden/core/agentledger/wal.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { expect, it } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { FollowedShard } from "./followed-shard.ts";

const origin = "ledger.acme.test/followed";
const entryOf = (at: number) => encodeUtf8(`entry ${at}`);

/** A log, the servers that sequence it one after the other, and one that follows it. */
async function open() {
  const [medium, highWater] = [createMemoryMedium(), new MemoryHighWater()];
  const told: string[] = [];
  let segment = 0;
  const take = async (): Promise<Sequencer> => {
    const storage = new MemoryLogStorage(medium);
    const common = { origin, signer: createTestLogSigner(), now: () => 1_795_000_000 };
    const sequencer = new Sequencer({ ...common, storage, highWater, onFatal: () => undefined });
    // Whoever begins to sequence publishes all of the write-ahead log, and begins it anew.
    await sequencer.start();
    segment += 1;
    return sequencer;
  };
  const tail: LogTail = {
    readAfter: async (_, place) => {
      const all = medium.wal.flatMap((bytes) => parseWal(bytes)).map(encodeWalRecord);
      const records = place.segment === segment ? all.slice(place.position) : all;
      return { records, place: { segment, position: all.length }, segment };
    },
  };
  const first = await take();
  const place = { name: null, vkey: first.vkey, first: 0 };
  const onEntry = (position: number, entry: Uint8Array) => told.push(`${position} ${parseUtf8(entry)}`);
  const shard = new FollowedShard({ place, origin, tail, reader: new MemoryLogStorage(medium), onEntry });
  return { first, medium, take, shard, told };
}

it("what another server published and took out of the write-ahead log at once is known of", async () => {
  const { first, take, shard, told } = await open();
  await first.append([entryOf(0)]);
  await first.waitForCheckpoint(1);
  await shard.refresh();
  await first.append([entryOf(1)]);
  await first.stop();
  const next = await take();
  await shard.refresh();
  expect(shard.size).toBe(2);
  expect(parseUtf8(await shard.asShard().log.readEntry(1))).toBe("entry 1");
  expect(told).toEqual(["0 entry 0", "1 entry 1"]);
  await next.stop();
});

it("nothing is passed over while what is gone from the write-ahead log is not shown yet", async () => {
  const { first, medium, take, shard, told } = await open();
  await first.append([entryOf(0)]);
  await first.waitForCheckpoint(1);
  await shard.refresh();
  const older = medium.files.get(CHECKPOINT_PATH) ?? new Uint8Array();
  await first.append([entryOf(1)]);
  await first.stop();
  const next = await take();
  await next.append([entryOf(2)]);
  await next.waitForCheckpoint(3);
  const newer = medium.files.get(CHECKPOINT_PATH) ?? new Uint8Array();
  medium.files.set(CHECKPOINT_PATH, older);
  await expectRejection(shard.refresh(), "ledger_unavailable");
  medium.files.set(CHECKPOINT_PATH, newer);
  await shard.refresh();
  expect(told).toEqual(["0 entry 0", "1 entry 1", "2 entry 2"]);
  await next.stop();
});

it("each entry is told of in its order, also where some are gone from the write-ahead log and others are not", async () => {
  const { first, take, shard, told } = await open();
  await first.append([entryOf(0)]);
  await first.waitForCheckpoint(1);
  await shard.refresh();
  await first.append([entryOf(1), entryOf(2)]);
  await first.stop();
  const next = await take();
  await next.append([entryOf(3)]);
  await shard.refresh();
  expect(shard.size).toBe(4);
  expect(told).toEqual(["0 entry 0", "1 entry 1", "2 entry 2", "3 entry 3"]);
  await next.stop();
});
