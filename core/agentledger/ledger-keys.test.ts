import { describe, expect, it } from "vitest";
import { encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import { verifyAcknowledgement } from "./acknowledgement.ts";
import { issueCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import { createTestLogSigner } from "./ledger.test.support.ts";
import {
  firstLedgerKey,
  followLedgerKeys,
  type ListedShard,
  ledgerKeyAt,
  ledgerKeyOf,
} from "./ledger-keys.ts";
import { createMemoryMedium, MemoryHighWater, MemoryLogStorage } from "./memory-log-storage.ts";
import { leafHash } from "./merkle.ts";
import { encodeShardEnd, isSameLogKey, shardOrigin, vkeyFor } from "./shard.ts";
import { ShardedLog, type ShardLog } from "./sharded-log.ts";
import { formatVkey, parseVkey, rawEd25519Key } from "./signed-note.ts";
import { parseTlogPolicy } from "./tlog-policy.ts";
import { formatTlogProof, verifyTlogProof } from "./tlog-proof.ts";

const ledger = "ledger.acme.test";
const signers = [1, 2, 3].map(createTestLogSigner);
const keyOf = (signer: Signer | undefined, origin: string) =>
  formatVkey(origin, rawEd25519Key((signer ?? signers[0] ?? never()).publicKey));

function never(): never {
  throw new Error("three signers");
}

/** A ledger of three shards, each with a key of its own. */
async function turnTwice() {
  const storages = new Map<string | null, MemoryLogStorage>();
  const log = new ShardedLog({
    ledger,
    keys: {
      first: (signers[0] ?? never()).publicKey,
      signerOf: (vkey) => signers.find((one) => isSameLogKey(vkey, keyOf(one, "any"))) ?? never(),
    },
    openShard: (name) => {
      const storage = storages.get(name) ?? new MemoryLogStorage(createMemoryMedium());
      storages.set(name, storage);
      return { storage, reader: storage };
    },
    highWater: new MemoryHighWater(),
    now: () => 1000,
    onFatal: (error) => {
      throw error;
    },
  });
  await log.start();
  const append = async () => (await log.append([encodeUtf8("entry")]))[0]?.acknowledgement ?? "";
  const promises = [await append()];
  await log.waitForCheckpoint(1);
  const early = await proveAt(log.current.log, 0);
  for (const [at, name] of ["2026q4", "2026q4.2"].entries()) {
    await log.turn(name, signers[at + 1]?.publicKey);
    promises.push(await append());
  }
  await log.waitForCheckpoint(log.size);
  const shards: ListedShard[] = [];
  for (const [at, { vkey, first }] of log.shards.entries()) {
    const before = log.shards[at - 1];
    shards.push({ vkey, first, named_by: before === undefined ? null : await proveLast(before.log) });
  }
  return { log, shards, promises, early };
}

async function proveLast(log: ShardLog): Promise<string> {
  return proveAt(log, verifyCheckpoint(log.checkpoint(), log.vkey).size - 1);
}

async function proveAt(log: ShardLog, index: number): Promise<string> {
  const checkpoint = log.checkpoint();
  const { size } = verifyCheckpoint(checkpoint, log.vkey);
  return formatTlogProof({ index, proof: await log.proveInclusion(index, size), checkpoint });
}

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "nothing was refused";
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
};

describe("keys of a ledger", () => {
  it("are followed from the first one by the end of each shard, and sign what is theirs alone", async () => {
    const { log, shards, promises } = await turnTwice();
    const keys = followLedgerKeys([firstLedgerKey(log.vkey)], shards);
    expect(keys.map(({ vkey }) => vkey)).toEqual(signers.map((signer) => keyOf(signer, ledger)));
    expect(followLedgerKeys(keys, shards)).toEqual(keys);
    for (const [at, promise] of promises.entries()) {
      const position = [0, 3, 6][at] ?? -1;
      expect(verifyAcknowledgement(promise, ledgerKeyAt(keys, position).key).index).toBe(position);
      const others = keys.filter((key) => key !== ledgerKeyAt(keys, position));
      for (const { key } of others)
        expect(codeOf(() => verifyAcknowledgement(promise, key))).toBe("receipt_invalid");
    }
    const origins = [ledger, shardOrigin(ledger, "2026q4"), shardOrigin(ledger, "2026q4.2")];
    expect(origins.map((origin) => ledgerKeyOf(keys, origin))).toEqual(keys);
    expect(ledgerKeyOf(keys, shardOrigin(ledger, "2027q1"))).toBe(keys[2]);
    await log.stop();
  });

  it("leave proofs of before and after a change as they were, each under its own key (35)", async () => {
    const { log, early } = await turnTwice();
    const under = (vkey: string) => parseTlogPolicy(`log ${vkey}\nquorum none\n`);
    const entry = encodeUtf8("entry");
    const [first, , third] = log.shards;
    if (first === undefined || third === undefined) never();
    const late = await proveAt(first.log, 0);
    for (const text of [early, late]) verifyTlogProof(text, { entry, policy: under(log.vkey) });
    const ofThird = await proveAt(third.log, 1);
    verifyTlogProof(ofThird, { entry, policy: under(third.vkey) });
    expect(codeOf(() => verifyTlogProof(ofThird, { entry, policy: under(log.vkey) }))).toBe(
      "checkpoint_untrusted",
    );
    await log.stop();
  });

  it("are none that no shard's end names", async () => {
    const { log, shards } = await turnTwice();
    const known = [firstLedgerKey(log.vkey)];
    const [one, two, three] = shards;
    if (one === undefined || two === undefined || three === undefined) never();
    const follow = (...list: readonly ListedShard[]) => codeOf(() => followLedgerKeys(known, list));
    const strangers = keyOf(createTestLogSigner(9), parseVkey(two.vkey).name);
    expect(follow(one, { ...two, named_by: null }, three)).toBe("checkpoint_untrusted");
    expect(follow(one, { ...two, vkey: strangers })).toBe("proof_invalid");
    expect(follow(one, three)).toBe("checkpoint_untrusted");
    expect(follow(one, { ...two, named_by: three.named_by })).toBe("checkpoint_untrusted");
    expect(follow(one, { ...two, vkey: vkeyFor(two.vkey, ledger) })).toBe("checkpoint_untrusted");
    // The thief of a key that was replaced signs an end for his own in a later shard.
    const nextOfThief = keyOf(createTestLogSigner(9), shardOrigin(ledger, "2027q1"));
    const end = encodeShardEnd(nextOfThief);
    const origin = shardOrigin(ledger, "2026q4.3");
    const [thief] = signers;
    const checkpoint = issueCheckpoint({ origin, size: 1, root: leafHash(end) }, thief ?? never());
    const forged = formatTlogProof({ index: 0, proof: [], checkpoint });
    const stolen = { vkey: nextOfThief, first: 9, named_by: forged };
    expect(follow(one, two, three, stolen)).toBe("checkpoint_untrusted");
    const followed = followLedgerKeys(known, shards);
    expect(codeOf(() => followLedgerKeys(followed, [one]))).toBe("checkpoint_untrusted");
    await log.stop();
  });
});
