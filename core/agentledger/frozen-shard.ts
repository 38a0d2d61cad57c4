/** A shard that has ended: everything about it is read from what it published. */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import type { LogReader } from "./ports.ts";
import { proveConsistency, proveInclusion, readEntriesFrom, readEntry } from "./prover.ts";
import { parseShardEnd, type ShardPlace } from "./shard.ts";
import type { Shard, ShardLog } from "./sharded-log.ts";
import { TreeReader } from "./tree-reader.ts";

/** A frozen shard, and the key of the one that it names as the next. */
export interface FrozenShard extends Shard {
  readonly next: string;
}

/**
 * A shard whose published checkpoint ends with the end of a shard; null for one that goes on, or that cannot be read: the
 * sequencer that is started on it then says what is wrong.
 *
 * @throws TrustWardenError `ledger_corrupt` when the tiles of a shard that has ended do not give its root.
 */
export async function readFrozenShard(place: ShardPlace, reader: LogReader): Promise<FrozenShard | null> {
  const { name, vkey, first } = place;
  const found = await readEnd(reader, vkey);
  if (found === null) return null;
  const { head, note, next } = found;
  const root = await new TreeReader(reader, head.size).readRoot(head.size);
  if (!isEqualBytes(root, head.root))
    throw new TrustWardenError("ledger_corrupt", { shard: name ?? "first", reason: "another root" });
  const log = createReadLog({ reader, vkey, head, note });
  return { name, vkey, first, origin: head.origin, log, reader, isFrozen: true, next };
}

async function readEnd(
  reader: LogReader,
  vkey: string,
): Promise<{ readonly head: Checkpoint; readonly note: string; readonly next: string } | null> {
  try {
    const note = await reader.readCheckpoint();
    if (note === null) return null;
    const head = verifyCheckpoint(note, vkey);
    if (head.size === 0) return null;
    const next = parseShardEnd(await readEntry(reader, { index: head.size - 1, size: head.size }));
    return next === null ? null : { head, note, next };
  } catch (error) {
    // Safe to go on: whoever opens it as a log that goes on is refused, with the reason.
    if (error instanceof TrustWardenError) return null;
    throw error;
  }
}

/** Reads and proofs of a tree that grows no more. */
function createReadLog({
  reader,
  vkey,
  head,
  note,
}: {
  readonly reader: LogReader;
  readonly vkey: string;
  readonly head: Checkpoint;
  readonly note: string;
}): ShardLog {
  const { size } = head;
  return {
    vkey,
    size,
    checkpoint: () => note,
    waitForCheckpoint: async (wanted) => {
      if (wanted > size) throw new TrustWardenError("not_found", { size: wanted });
    },
    readEntry: (index) => readEntry(reader, { index, size }),
    readEntriesFrom: (index) => readEntriesFrom(reader, { index, size }),
    proveInclusion: (index, within) => proveInclusion(reader, { index, size: within, head }),
    proveConsistency: (oldSize, newSize) => proveConsistency(reader, { oldSize, newSize, head }),
  };
}
