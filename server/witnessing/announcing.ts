/**
 * A witness that does not know a shard, because its key is another than before, is shown the end of the shard before it, which names
 * that key. Nobody has to tell it then; one of another make still has to be told.
 *
 * @see docs/decisions/0103
 */
import { announceEnd } from "@trustwarden/core/agentledger/add-shard.ts";
import { isSameLogKey } from "@trustwarden/core/agentledger/shard.ts";
import type { ShardLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import type { WitnessClient } from "./witness-client.ts";

/** What of the log before is needed here. */
export type EndingLog = Pick<ShardLog, "vkey" | "checkpoint" | "proveInclusion" | "proveConsistency">;

/** Of a log that it does not know, and of one whose name it knows under another key. */
const UNKNOWN: readonly number[] = [403, 404];

/**
 * The client, which announces the shard when the witness does not know it.
 *
 * @param shard.before - the shard that ended before it; undefined for the first.
 */
export function announcing(
  client: WitnessClient,
  { vkey, before }: { readonly vkey: string; readonly before: EndingLog | undefined },
): WitnessClient {
  if (before === undefined || isSameLogKey(before.vkey, vkey)) return client;
  return {
    witness: client.witness,
    announce: (announcement) => client.announce(announcement),
    readLatest: (origin) => client.readLatest(origin),
    submit: async (submission) => {
      const answer = await client.submit(submission);
      if (answer.kind !== "refused" || !UNKNOWN.includes(answer.status)) return answer;
      return (await isFollowed(client, vkey, before)) ? client.submit(submission) : answer;
    },
  };
}

/** Twice: it believes the end of what it has cosigned, which may not have come to the end yet. */
async function isFollowed(client: WitnessClient, vkey: string, before: EndingLog): Promise<boolean> {
  const announcement = await announceEnd(before, vkey);
  const answer = await client.announce(announcement);
  if (answer.kind !== "behind") return answer.kind === "followed";
  const { checkpoint, index } = announcement.proof;
  const size = index + 1;
  if (answer.size > size) return false;
  const proof = answer.size === 0 ? [] : await before.proveConsistency(answer.size, size);
  await client.submit({ oldSize: answer.size, proof, checkpoint });
  return (await client.announce(announcement)).kind === "followed";
}
