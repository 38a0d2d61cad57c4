/**
 * What a sequencer must find true before it may extend a log: nothing was lost, rolled back or altered.
 *
 * Reads only. The three-way check: the stored state, the published checkpoint and the mark kept elsewhere must tell
 * one history, and the tiles at the tree's edge must give its root. Extending a damaged or restored log would sign a
 * second history; so every doubt is a refusal.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import { requireUnfenced } from "./log-fence.ts";
import { leafHash } from "./merkle.ts";
import type { HighWaterMark, LogReader, LogState, LogStorage } from "./ports.ts";
import { TILE_WIDTH } from "./tile.ts";
import { rootOfEdge, type TreeEdge, type TreeLeaf } from "./tree-edge.ts";
import { TreeReader } from "./tree-reader.ts";
import { isUnwritten, parseWal } from "./wal.ts";

/** What a log was found to be. */
export interface RecoveredLog {
  readonly state: LogState;
  readonly checkpoint: Checkpoint;
  readonly edge: TreeEdge;
  /** Durable in the write-ahead log, perhaps acknowledged, not yet in tiles. */
  readonly pending: readonly TreeLeaf[];
}

/**
 * The log that the storage holds, or null when storage and mark agree that there never was one.
 *
 * @throws TrustWardenError `ledger_moved`; `data_rolled_back` when something outside remembers more than the storage holds;
 *   `ledger_corrupt` when the storage contradicts itself.
 */
export async function recoverLog(
  storage: LogReader & Pick<LogStorage, "readState" | "readWal">,
  { vkey, mark }: { readonly vkey: string; readonly mark: HighWaterMark | null },
): Promise<RecoveredLog | null> {
  const state = await storage.readState();
  const published = await storage.readCheckpoint();
  const segments = await storage.readWal();
  if (state === null) {
    requireNew({ published, mark, hasWal: segments.some((segment) => !isUnwritten(segment)) });
    return null;
  }
  requireUnfenced(state);
  const checkpoint = verifyOwn(state.checkpoint, vkey, "state");
  const tree = new TreeReader(storage, state.size);
  const edge = await readProvenEdge(tree, state);
  if (checkpoint.size > state.size) throw corrupt("checkpoint ahead of tiles");
  await requireSameHistory(tree, checkpoint, "stored checkpoint");
  await requirePublished(tree, { published, checkpoint, vkey });
  await requireMark(tree, mark, checkpoint);
  return { state, checkpoint, edge, pending: pendingOf(segments, state.size) };
}

function requireNew({
  published,
  mark,
  hasWal,
}: {
  readonly published: string | null;
  readonly mark: HighWaterMark | null;
  readonly hasWal: boolean;
}): void {
  if (mark !== null && mark.size > 0) {
    throw new TrustWardenError("data_rolled_back", { reason: "no log where one was", size: mark.size });
  }
  if (published !== null || hasWal) {
    throw new TrustWardenError("data_rolled_back", { reason: "state is missing" });
  }
}

function verifyOwn(note: string, vkey: string, where: string): Checkpoint {
  try {
    return verifyCheckpoint(note, vkey);
  } catch (cause) {
    throw new TrustWardenError(
      "ledger_corrupt",
      { path: where, reason: "checkpoint does not verify" },
      { cause },
    );
  }
}

async function readProvenEdge(tree: TreeReader, state: LogState): Promise<TreeEdge> {
  const edge = await existing(tree.readEdge());
  if (!isEqualBytes(rootOfEdge(edge), state.root)) throw corrupt("tiles at the edge do not give the root");
  const hashes = edge.levels[0] ?? [];
  edge.entries.forEach((entry, position) => {
    const hash = hashes[position];
    if (hash === undefined || !isEqualBytes(leafHash(entry), hash)) {
      throw corrupt(`entry ${state.size - (state.size % TILE_WIDTH) + position} does not hash to its leaf`);
    }
  });
  return edge;
}

async function requireSameHistory(
  tree: TreeReader,
  { size, root }: { readonly size: number; readonly root: Uint8Array },
  what: string,
): Promise<void> {
  if (!isEqualBytes(await existing(tree.readRoot(size)), root)) throw corrupt(`${what} has another root`);
}

async function requirePublished(
  tree: TreeReader,
  {
    published,
    checkpoint,
    vkey,
  }: { readonly published: string | null; readonly checkpoint: Checkpoint; readonly vkey: string },
): Promise<void> {
  // Missing is fine: the crash came between storing the first checkpoint and showing it.
  if (published === null) return;
  const shown = verifyOwn(published, vkey, "checkpoint");
  if (shown.size > checkpoint.size) {
    throw new TrustWardenError("data_rolled_back", {
      reason: "published checkpoint is newer",
      size: shown.size,
    });
  }
  await requireSameHistory(tree, shown, "published checkpoint");
}

async function requireMark(
  tree: TreeReader,
  mark: HighWaterMark | null,
  checkpoint: Checkpoint,
): Promise<void> {
  // A log writes its mark before its first state, so a log without one has been separated from it.
  if (mark === null) throw new TrustWardenError("data_rolled_back", { reason: "high-water mark is missing" });
  if (mark.origin !== checkpoint.origin)
    throw new TrustWardenError("data_rolled_back", { reason: "mark of another log" });
  if (mark.size > checkpoint.size) {
    throw new TrustWardenError("data_rolled_back", {
      reason: "mark is ahead",
      size: checkpoint.size,
      mark: mark.size,
    });
  }
  if (!isEqualBytes(await existing(tree.readRoot(mark.size)), mark.root)) {
    throw new TrustWardenError("data_rolled_back", { reason: "mark has another root", size: mark.size });
  }
}

/** Entries of the write-ahead log from `size` on; every record must continue the one before. */
function pendingOf(segments: readonly Uint8Array[], size: number): readonly TreeLeaf[] {
  const pending: TreeLeaf[] = [];
  let next: number | null = null;
  for (const { first, entries } of segments.flatMap(parseWal)) {
    if (next === null ? first > size : first !== next)
      throw corrupt(`write-ahead log has a gap at ${next ?? size}`);
    entries.forEach((entry, offset) => {
      if (first + offset >= size) pending.push({ entry, leafHash: leafHash(entry) });
    });
    next = first + entries.length;
  }
  return pending;
}

/** A tile that is missing inside the tree is damage, not a wrong question. */
async function existing<T>(read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.code !== "not_found") throw cause;
    throw new TrustWardenError("ledger_corrupt", { reason: "tile is missing" }, { cause });
  }
}

function corrupt(reason: string): TrustWardenError {
  return new TrustWardenError("ledger_corrupt", { reason });
}
