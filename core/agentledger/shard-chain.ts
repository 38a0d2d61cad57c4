/**
 * The chain of a ledger's shards as what is published tells it: which have ended, and which one goes on.
 *
 * Reads only; whoever copies or puts back a ledger follows it here, and the writer of one checks the same links.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import { type FrozenShard, readFrozenShard } from "./frozen-shard.ts";
import type { LogReader } from "./ports.ts";
import { parseShardStart, type ShardName, type ShardPlace, shardNameOf } from "./shard.ts";
import type { Shard, ShardLog } from "./sharded-log.ts";
import { parseVkey } from "./signed-note.ts";

/** A ledger as it lies in a storage. */
export interface ShardChain {
  /** Oldest first; each proven to begin where the one before ended. */
  readonly ended: readonly FrozenShard[];
  /** The shard that takes entries, as the one before names it; nothing of it is read. */
  readonly live: ShardPlace;
}

/**
 * Follows the published ends of shards.
 *
 * @param vkey - of the ledger's first log.
 * @throws TrustWardenError `ledger_corrupt` for a chain that does not hold; `not_found` for an ended shard without its beginning.
 */
export async function readShardChain(
  vkey: string,
  openReader: (name: ShardName) => LogReader,
): Promise<ShardChain> {
  const ended: FrozenShard[] = [];
  let live: ShardPlace = { name: null, vkey, first: 0 };
  for (;;) {
    const frozen = await readFrozenShard(live, openReader(live.name));
    if (frozen === null) return { ended, live };
    await requireFollows({ place: live, log: frozen.log, before: ended.at(-1) });
    ended.push(frozen);
    live = placeAfter(ended, { ledger: parseVkey(vkey).name, vkey: frozen.next });
  }
}

/** @throws TrustWardenError `ledger_corrupt` unless entry 0 is the final checkpoint of the shard before. */
export async function requireFollows({
  place,
  log,
  before,
}: {
  readonly place: ShardPlace;
  readonly log: Pick<ShardLog, "readEntry">;
  readonly before: Shard | undefined;
}): Promise<void> {
  if (before === undefined) return;
  const start = parseShardStart(await log.readEntry(0));
  const named = start && verifyCheckpoint(start.note, before.vkey);
  const final = verifyCheckpoint(before.log.checkpoint(), before.vkey);
  if (start?.first !== place.first || named?.size !== final.size || !isEqualBytes(named.root, final.root))
    throw brokenChain(place.name, "its first entry is not the end of the shard before");
}

/** Where the shard begins that the last of some names as the next. @throws TrustWardenError `ledger_corrupt`. */
export function placeAfter(
  ended: readonly Shard[],
  { ledger, vkey }: { readonly ledger: string; readonly vkey: string },
): ShardPlace {
  const last = ended.at(-1);
  const name = shardNameOf(ledger, parseVkey(vkey).name);
  if (last === undefined || ended.some((shard) => shard.name === name))
    throw brokenChain(name, "a shard follows itself");
  return { name, vkey, first: last.first + last.log.size };
}

/** A link of the chain that does not hold. */
export function brokenChain(shard: ShardName, reason: string): TrustWardenError {
  return new TrustWardenError("ledger_corrupt", { shard: shard ?? "first", reason });
}
