/** Claims of agents about trees of this ledger, held against logs in memory. */
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { oneLogKey } from "@trustwarden/core/agentledger/log-keys.ts";
import {
  createMemoryMedium,
  MemoryHighWater,
  MemoryLogStorage,
} from "@trustwarden/core/agentledger/memory-log-storage.ts";
import type { ShardName } from "@trustwarden/core/agentledger/shard.ts";
import { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { encodeBase64, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { describe, expect, it } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { PublishedCheckpoints, type PublishedCheckpointsOptions } from "./published-checkpoints.ts";

const ledger = "ledger.acme.test";
const signer = createTestLogSigner();

/** A ledger, and how often its files are read. */
async function open() {
  const media = new Map<ShardName, ReturnType<typeof createMemoryMedium>>();
  const reads: string[] = [];
  const openShard = (name: ShardName) => {
    const medium = media.get(name) ?? createMemoryMedium();
    media.set(name, medium);
    const kept = new MemoryLogStorage(medium);
    const reader = {
      readCheckpoint: () => kept.readCheckpoint(),
      readObject: (path: string) => {
        reads.push(path);
        return kept.readObject(path);
      },
    };
    return { storage: new MemoryLogStorage(medium), reader };
  };
  const log = new ShardedLog({
    ledger,
    keys: oneLogKey(signer),
    highWater: new MemoryHighWater(),
    openShard,
    now: () => 1_795_000_000,
    onFatal: () => undefined,
  });
  await log.start();
  const grow = async (entries: number) => {
    for (let count = 0; count < entries; count += 1) await log.append([encodeUtf8(`entry ${log.size}`)]);
    await log.waitForCheckpoint(log.size);
    return seenOf(log);
  };
  return { log, grow, reads, published: new PublishedCheckpoints({ ledger, log }) };
}

function seenOf({ current }: Pick<ShardedLog, "current">) {
  const { origin, size, root } = verifyCheckpoint(current.log.checkpoint(), current.vkey);
  return { origin, size, root: encodeBase64(root) };
}

async function require(
  published: PublishedCheckpoints,
  seen: ReturnType<typeof seenOf> | null,
  isForeign?: true,
): Promise<void> {
  await published.requireSeen({ seen }, isForeign === undefined ? {} : { isForeign });
}

describe("a checkpoint that an agent says it has seen", () => {
  it("counts when it was published, in this shard or an ended one, and when none is named", async () => {
    const { log, grow, published } = await open();
    const seen = [await grow(1), await grow(300), await grow(7)];
    await log.turn("2027q1");
    seen.push(await grow(3));
    for (const one of seen) await require(published, one);
    await require(published, null);
    await log.stop();
  });

  it("is refused when it is newer than anything published, or of another root at its size (41)", async () => {
    const { log, grow, published } = await open();
    const seen = await grow(5);
    const other = encodeBase64(new Uint8Array(32).fill(7));
    for (const lie of [
      { ...seen, size: seen.size + 1 },
      { ...seen, size: Number.MAX_SAFE_INTEGER },
      { ...seen, root: other },
      { ...seen, size: seen.size - 1 },
      { ...seen, size: 0 },
      { ...seen, origin: `${ledger}/2027q1` },
      { ...seen, origin: "ledger2.acme.test" },
    ])
      await expectRejection(require(published, lie), "checkpoint_unpublished");
    await require(published, seen);
    await log.stop();
  });

  it("of another trust domain's ledger is no claim about this one, and only its own agents may name it", async () => {
    const { log, grow, published } = await open();
    const seen = await grow(2);
    const foreign = { ...seen, origin: "ledger.partner.test" };
    await require(published, foreign, true);
    await expectRejection(require(published, foreign), "checkpoint_unpublished");
    await expectRejection(
      require(published, { ...seen, size: seen.size + 1 }, true),
      "checkpoint_unpublished",
    );
    await log.stop();
  });

  it("is looked up once for all that name it, and a refusal is not remembered", async () => {
    const { log, grow, reads, published } = await open();
    const seen = await grow(5);
    await Promise.all(Array.from({ length: 20 }, () => require(published, seen)));
    const once = reads.length;
    expect(once).toBeGreaterThan(0);
    expect(published.requireSeen({ seen }, {})).toBeNull();
    expect(reads.length).toBe(once);
    const early = { ...(await grow(1)) };
    await require(published, early);
    await log.stop();
  });

  it("that another server published a moment ago is asked for before anybody is refused", async () => {
    const { log, grow } = await open();
    const before = await grow(3);
    const shown = log.shards;
    const old = log.current.log.checkpoint();
    let isRefreshed = false;
    /** A server that follows this ledger and has not looked since. */
    const follower: PublishedCheckpointsOptions["log"] = {
      get shards() {
        const [shard] = shown;
        if (shard === undefined) return [];
        return isRefreshed
          ? log.shards
          : [{ ...shard, log: { ...shard.log, size: 3, checkpoint: () => old } }];
      },
      refresh: async () => {
        isRefreshed = true;
      },
      waitForCheckpoint: (size) => log.waitForCheckpoint(size),
    };
    const published = new PublishedCheckpoints({ ledger, log: follower });
    await require(published, before);
    expect(isRefreshed).toBe(false);
    const after = await grow(2);
    await require(published, after);
    expect(isRefreshed).toBe(true);
    await log.turn("2027q1");
    isRefreshed = false;
    await require(published, await grow(1));
    await expectRejection(require(published, { ...after, size: after.size + 9 }), "checkpoint_unpublished");
    await log.stop();
  });
});
