/**
 * Moving a log from one storage to another, under the same key and to the same root.
 *
 * Two steps, so that most of the work is done while the old writer works: `copyPublished` copies what can never change;
 * `moveLog`, as the writer of both, copies the rest, proves every file of the copy, and hands over. The old storage is
 * fenced durably before the new one has a state: at no instant can both be extended, and a crash in between leaves
 * neither until the move is run again.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { auditTiles } from "./audit-tiles.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import { fencedState, hasLeft, isFenced, leftState, unfencedState } from "./log-fence.ts";
import { encodeLogState } from "./log-state.ts";
import type { HighWaterMark, LogObject, LogReader, LogState, LogStorage } from "./ports.ts";
import { recoverLog } from "./recovery.ts";
import type { Shard } from "./sharded-log.ts";
import {
  encodeBundle,
  encodeTile,
  formatTilePath,
  parseBundle,
  parseTile,
  TILE_WIDTH,
  type TileName,
  tilesOf,
} from "./tile.ts";
import { readTile } from "./tree-reader.ts";
import { encodeWalRecord } from "./wal.ts";

/** Files in one call of the target: some megabytes. */
const BATCH = 64;
/** A record of the write-ahead log; the sequencer's own are as large at most. */
const MAX_RECORD_BYTES = 4_194_304;

/** What was moved. */
export interface MovedLog {
  /** Entries in tiles, and the root over them. */
  readonly size: number;
  readonly root: Uint8Array;
  /** Entries that were acknowledged and not in tiles yet. */
  readonly pending: number;
}

/**
 * Copies the full tiles and bundles of the published log; repeatable, and safe beside a writer of the source. Copies
 * nothing to where a log is.
 *
 * @returns the paths that are there now.
 * @throws TrustWardenError `checkpoint_untrusted`, `not_found`, `ledger_corrupt` when the target has other bytes.
 */
export async function copyPublished(
  source: LogReader,
  { target, vkey }: { readonly target: LogStorage; readonly vkey: string },
): Promise<ReadonlySet<string>> {
  // Another log's next entries would have their places taken; `moveLog` says what is there.
  if ((await target.readState()) !== null) return new Set();
  const note = await source.readCheckpoint();
  if (note === null) return new Set();
  const { size } = verifyCheckpoint(note, vkey);
  const full = tilesOf(size).filter(({ width }) => width === TILE_WIDTH);
  await copyTiles(source, target, full);
  return new Set(full.map(formatTilePath));
}

/**
 * Copies a shard that has ended, whole, with a state as the shard that it was: it can be moved again from there. Repeatable,
 * and safe beside a writer of the source, since nothing of it changes any more.
 *
 * @throws TrustWardenError `checkpoint_untrusted`, `config_invalid` for a target with another log, `ledger_corrupt`.
 */
export async function copyEnded(
  { reader, vkey, log }: Pick<Shard, "reader" | "vkey" | "log">,
  target: LogStorage,
): Promise<number> {
  const note = log.checkpoint();
  const { size, root, origin } = verifyCheckpoint(note, vkey);
  const there = await target.readState();
  if (there !== null && (there.size !== size || !isEqualBytes(there.root, root)))
    throw new TrustWardenError("config_invalid", { setting: "to", reason: "there is a log already" });
  const names = tilesOf(size);
  await copyTiles(reader, target, names);
  await requireTiles(target, { origin, size, root });
  if (there === null) await target.swapState(null, { size, root, checkpoint: note });
  await target.publishCheckpoint(note);
  return names.length;
}

/**
 * Hands a log over. The caller is the writer of both storages.
 *
 * @param options.copied - paths that `copyPublished` has copied.
 * @throws TrustWardenError `ledger_moved` when it went elsewhere before, `config_invalid` for a target with a log of its
 *   own, `not_found` without a log, `data_rolled_back` and `ledger_corrupt` as at a start: then nothing was handed over.
 */
export async function moveLog(options: {
  readonly source: LogStorage;
  readonly target: LogStorage;
  readonly vkey: string;
  readonly mark: HighWaterMark | null;
  readonly copied?: ReadonlySet<string>;
}): Promise<MovedLog> {
  const { source, target, vkey, mark, copied = new Set() } = options;
  const stored = await source.readState();
  if (stored === null) throw new TrustWardenError("not_found", { reason: "there is no log to move" });
  const state = isFenced(stored) ? unfencedState(stored) : stored;
  await requireFree(target, stored);
  const log = await recoverLog(viewOf(source, state), { vkey, mark });
  if (log === null) throw new Error("a log with a state is there");
  const published = await source.readCheckpoint();
  const wanted = [...tilesOf(state.size), ...tilesOf(log.checkpoint.size)];
  const missing = new Map(wanted.map((name) => [formatTilePath(name), name]));
  await copyTiles(
    source,
    target,
    [...missing].flatMap(([path, name]) => (copied.has(path) ? [] : [name])),
  );
  const entries = log.pending.map(({ entry }) => entry);
  if ((await target.readState()) === null) await writePending(target, { first: state.size, entries });
  await requireWhole(target, { state, vkey, mark, pending: entries.length });
  if (!isFenced(stored)) await source.swapState(stored, fencedState(state));
  if ((await target.readState()) === null) await target.swapState(null, state);
  await markLeft(source, state);
  if (published !== null) await target.publishCheckpoint(published);
  return { size: state.size, root: state.root, pending: entries.length };
}

/** Nothing, or what a crash left of this very move. @param stored - the source's state, as it is. */
async function requireFree(target: LogStorage, stored: LogState): Promise<void> {
  const there = await target.readState();
  const isSame = (left: LogState, right: LogState) =>
    isEqualBytes(encodeLogState(left), encodeLogState(right));
  const isFree = there === null ? !hasLeft(stored) : isFenced(stored) && isSame(there, unfencedState(stored));
  if (isFree) return;
  if (isFenced(stored)) throw new TrustWardenError("ledger_moved", { size: stored.size });
  throw new TrustWardenError("config_invalid", { setting: "to", reason: "there is a log already" });
}

/** From here on what is left behind begins no log in a third place. */
async function markLeft(source: LogStorage, state: LogState): Promise<void> {
  const fenced = await source.readState();
  if (fenced !== null && isFenced(fenced) && !hasLeft(fenced))
    await source.swapState(fenced, leftState(state));
}

/** A storage with the state that it would have unfenced, as `recoverLog` reads it. */
function viewOf(storage: LogStorage, state: LogState): Parameters<typeof recoverLog>[0] {
  return {
    readObject: (path) => storage.readObject(path),
    readCheckpoint: () => storage.readCheckpoint(),
    readWal: () => storage.readWal(),
    readState: async () => state,
  };
}

async function copyTiles(source: LogReader, target: LogStorage, names: readonly TileName[]): Promise<void> {
  for (let at = 0; at < names.length; at += BATCH)
    await target.writeObjects(
      await Promise.all(names.slice(at, at + BATCH).map((name) => readTileFile(source, name))),
    );
}

/** A tile as wide as it is asked for: of a partial one there may be only the full one left. */
export async function readTileFile(source: LogReader, name: TileName): Promise<LogObject> {
  const bytes = await readTile(source, name);
  const isBundle = name.level === "entries";
  const exact = isBundle ? encodeBundle(parseBundle(bytes, name)) : encodeTile(parseTile(bytes, name));
  return { path: formatTilePath(name), bytes: exact };
}

/** In a segment of its own, whatever an attempt of before has left. */
async function writePending(
  target: LogStorage,
  { first, entries }: { readonly first: number; readonly entries: readonly Uint8Array[] },
): Promise<void> {
  await target.rotateWal();
  await target.trimWal();
  let next = first;
  for (const group of groupsOf(entries)) {
    await target.appendWal(encodeWalRecord({ first: next, entries: group }));
    next += group.length;
  }
}

function groupsOf(entries: readonly Uint8Array[]): readonly (readonly Uint8Array[])[] {
  const groups: Uint8Array[][] = [];
  let bytes = MAX_RECORD_BYTES;
  for (const entry of entries) {
    bytes += entry.length;
    if (bytes > MAX_RECORD_BYTES) {
      groups.push([]);
      bytes = entry.length;
    }
    groups.at(-1)?.push(entry);
  }
  return groups;
}

/** Every file of the copy gives the root, and a start on it would find what a start on the source found. */
async function requireWhole(
  target: LogStorage,
  {
    state,
    vkey,
    mark,
    pending,
  }: {
    readonly state: LogState;
    readonly vkey: string;
    readonly mark: HighWaterMark | null;
    readonly pending: number;
  },
): Promise<void> {
  const { origin } = verifyCheckpoint(state.checkpoint, vkey);
  await requireTiles(target, { origin, size: state.size, root: state.root });
  const log = await recoverLog(viewOf(target, state), { vkey, mark });
  if (log?.pending.length !== pending)
    throw new TrustWardenError("ledger_corrupt", { reason: "the copy: what is pending differs" });
}

/** Every file of a copy gives the root. */
async function requireTiles(target: LogStorage, head: Checkpoint): Promise<void> {
  const findings: string[] = [];
  for await (const { entries } of auditTiles(target, {
    head,
    report: ({ code, place }) => findings.push(`${code} at ${place}`),
  }))
    if (entries.length === 0) findings.push("an empty bundle");
  const [finding] = findings;
  if (finding !== undefined) throw new TrustWardenError("ledger_corrupt", { reason: `the copy: ${finding}` });
}
