/**
 * The proof that the ledger was not rewritten since a checkpoint that somebody holds.
 *
 * A ledger that cannot prove it refuses: whoever asked then holds the evidence, which is that checkpoint.
 */

import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyConsistency } from "@trustwarden/core/agentledger/consistency-proof.ts";
import { originOfNote } from "@trustwarden/core/agentledger/cosignature.ts";
import {
  EARLIER_FILE,
  formatConsistencyProof,
  GROWTH_FILE,
} from "@trustwarden/core/agentledger/evidence-growth.ts";
import { verifyShardCheckpoint } from "@trustwarden/core/agentledger/shard.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Services } from "../http/services.ts";
import type { Earlier, Head } from "./heads.ts";

/**
 * The shard of a checkpoint.
 *
 * @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted` for one of another log, `proof_invalid` for one that is
 *   ahead of this ledger.
 */
export function findEarlier(log: Services["ledger"]["log"], note: string): Earlier {
  const shard = log.shards.find(({ origin }) => origin === originOfNote(note));
  // Of no shard here: whether it is of this ledger at all is said by its key.
  const checkpoint =
    shard === undefined ? verifyShardCheckpoint(note, log.vkey) : verifyCheckpoint(note, shard.vkey);
  const size = shard === undefined ? 0 : verifyCheckpoint(shard.log.checkpoint(), shard.vkey).size;
  if (shard === undefined || checkpoint.size === 0 || checkpoint.size > size)
    throw new TrustWardenError("proof_invalid", {
      reason: "not of this ledger",
      size,
      held: checkpoint.size,
    });
  return { note, shard, checkpoint };
}

/** Files of the proof, by path. @throws TrustWardenError `proof_invalid` when the log has another tree of that size. */
export async function proveGrowth(
  { note, shard, checkpoint: { size: oldSize, root: oldRoot } }: Earlier,
  heads: readonly Head[],
): Promise<ReadonlyMap<string, string>> {
  const head = heads.find((one) => one.shard === shard);
  if (head === undefined) throw new Error("the shard of an earlier checkpoint has a head");
  const { size: newSize, root: newRoot } = head.checkpoint;
  const proof = await shard.log.proveConsistency(oldSize, newSize);
  verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof });
  return new Map([
    [EARLIER_FILE, note],
    [GROWTH_FILE, formatConsistencyProof({ oldSize, newSize, proof })],
  ]);
}
