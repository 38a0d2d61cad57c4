/**
 * Backs a data directory up while its server works: the state as of one transaction, then the ledger as it is after that, and the
 * sealed keys. Nothing that opens anything is among it: unseal key and owners' keys lie in the configuration directory.
 *
 * State first: an event leaves the outbox when it is durable in the ledger, so a ledger that is copied later has every event that
 * the state does not owe it. That the ledger is ahead of the state is what a restore expects (`restore-backup.ts`).
 *
 * @see docs/guides/backup.md
 */
import type { KeyObject } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { encodeLogState, parseLogState } from "@trustwarden/core/agentledger/log-state.ts";
import { readTileFile } from "@trustwarden/core/agentledger/move-log.ts";
import { type ShardPlace, shardFolder } from "@trustwarden/core/agentledger/shard.ts";
import { readShardChain, type ShardChain } from "@trustwarden/core/agentledger/shard-chain.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { formatTilePath, TILE_WIDTH, type TileName, tilesOf } from "@trustwarden/core/agentledger/tile.ts";
import { encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { ServerConfig } from "../config.ts";
import { openServerKeys } from "../keys.ts";
import { originOf } from "../ledger/origin.ts";
import { readEpoch } from "../store/commands/epoch.ts";
import { PosixLogReader } from "../store/posix-log.ts";
import { readFileIfAny } from "../store/posix-log-files.ts";
import { openForReading } from "../store/schema.ts";
import { isWitnessedFile } from "../witnessing/create.ts";
import { addBytes, addFile, addManifest, readFiles } from "./archive.ts";
import { accountOfProcess, leaveBackupNote } from "./backup-notes.ts";
import { SealedWriter } from "./sealed-stream.ts";

/** Copied as they are, where they are there, with the witnessed checkpoints of all shards. */
const FILES: readonly string[] = ["trust-domain", "ledger-origin"];
const FOLDERS = ["keys", "payloads", "sinks", "ssf"] as const;
/** A segment of the write-ahead log goes as soon as its entries are in tiles. */
const MAX_TRIES = 10;
/** Between two looks at a ledger that turns. */
const TURN_PAUSE_MS = 200;
const ID_BYTES = 16;
/** A copy of the state, in the data directory. */
const COPY_PREFIX = ".backup-";
/** Of a backup that would hold parts of two shards, and neither whole. */
const TURNED = "the ledger turned meanwhile: back up again";
/** Longer than the copy of any state is read. */
const LEFTOVER_MS = 86_400_000;

/** A backup that somebody ordered from the server. */
export interface BackupOrder {
  readonly id: string;
  /** Principals that stand behind it, separated by spaces. */
  readonly orderedBy: string;
}

export interface BackupOptions {
  readonly config: ServerConfig;
  /** Made; must not exist. */
  readonly file: string;
  /** Of one that was ordered; others get an id here. */
  readonly order?: BackupOrder;
  /** Public X25519 key; null only where the operator said so. */
  readonly recipient: KeyObject | null;
  readonly random: Random;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly onProgress: (step: string) => Promise<void> | void;
}

/** What a backup holds. */
export interface Backup {
  readonly files: number;
  readonly bytes: number;
  /** Entries of the ledger under the copied checkpoint. */
  readonly size: number;
  readonly epoch: number;
  /** What its event in the ledger names it by. */
  readonly id: string;
  /** Account of the host that made it. */
  readonly madeBy: string;
}

/**
 * Writes a backup and reads it again.
 *
 * @throws TrustWardenError `config_invalid` for a ledger elsewhere or a file that is there, `backup_malformed` when what was
 *   written does not read, and the codes of opening keys.
 */
export async function createBackup(options: BackupOptions): Promise<Backup> {
  if (existsSync(options.file))
    throw new TrustWardenError("config_invalid", { setting: "file", reason: "it exists" });
  try {
    return await writeBackup(options);
  } catch (error) {
    // It turns with the quarter, and takes a moment for it: what has begun since holds the whole of it.
    if (!(error instanceof TrustWardenError) || error.details.reason !== TURNED) throw error;
    return writeBackup(options);
  }
}

async function writeBackup(options: BackupOptions): Promise<Backup> {
  const { config, file, recipient, onProgress } = options;
  const source = await openSource(options);
  const folder = mkdtempSync(join(dirname(file), `.${basename(file)}-`));
  try {
    await onProgress("state");
    const part = join(folder, "backup");
    const writer = new SealedWriter(part, recipient);
    const epoch = addState(writer, options);
    addFolders(writer, config.dataDir);
    await onProgress("ledger");
    const size = await addLedger(writer, source);
    const { trustDomain } = config;
    const madeAt = new Date(options.nowMs()).toISOString();
    const id = options.order?.id ?? encodeHex(options.random(ID_BYTES));
    const madeBy = accountOfProcess();
    addManifest(writer, {
      ...{ v: 1, trust_domain: trustDomain, made_at: madeAt, known: source.known, size, epoch },
      ...{ id, made_by: madeBy },
    });
    writer.close();
    await onProgress("check");
    const reader = writer.reopen();
    const { files, bytes } = await readFiles(reader, null);
    reader.close();
    const orderedBy = options.order?.orderedBy ?? null;
    await leaveBackupNote(config.dataDir, {
      id,
      madeBy,
      orderedBy,
      madeAt,
      size,
      isSealed: recipient !== null,
    });
    renameSync(part, file);
    return { files, bytes, size, epoch, id, madeBy };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where the ledger is, and how far it had come before the state was copied: all of that the state knows. */
interface Source {
  readonly directory: string;
  readonly vkey: string;
  readonly chain: ShardChain;
  readonly known: number;
}

async function openSource({ config, random, nowMs }: BackupOptions): Promise<Source> {
  const { ledger, dataDir } = config;
  if (ledger.storage !== "posix")
    throw new TrustWardenError("config_invalid", { setting: "ledger", reason: "not on this machine's disk" });
  // The file of before the move may still be there, and is not the state any more.
  if (config.state.storage !== "sqlite")
    throw new TrustWardenError("config_invalid", { setting: "state", reason: "not on this machine's disk" });
  const { logKeys } = await openServerKeys({ config, random, nowMs });
  const vkey = formatVkey(originOf(config), rawEd25519Key(logKeys.first));
  const directory = ledger.directory ?? join(dataDir, "ledger");
  const { chain, note } = await begunChain({ directory, vkey });
  const { vkey: liveKey, first } = chain.live;
  return { directory, vkey, chain, known: first + verifyCheckpoint(note, liveKey).size };
}

/** The chain, and what its last shard has published: while a turn is under way that comes in a moment. */
async function begunChain(place: Pick<Source, "directory" | "vkey">) {
  for (let tries = 1; ; tries += 1) {
    const chain = await chainOf(place);
    const folder = join(place.directory, shardFolder(chain.live.name));
    const note = await new PosixLogReader(folder).readCheckpoint();
    if (note !== null) return { chain, note };
    if (chain.ended.length === 0 || tries === MAX_TRIES)
      throw new TrustWardenError("not_found", { reason: "there is no ledger, or it turns" });
    await setTimeout(TURN_PAUSE_MS);
  }
}

function chainOf({ directory, vkey }: Pick<Source, "directory" | "vkey">): Promise<ShardChain> {
  return readShardChain(vkey, (name) => new PosixLogReader(join(directory, shardFolder(name))));
}

/**
 * The state, by a copy that lies in the data directory while it is sealed: in the clear it comes to no other place, since who keeps
 * backups may not be who may read them.
 */
function addState(writer: SealedWriter, { config: { dataDir }, nowMs }: BackupOptions): number {
  removeLeftovers(dataDir, nowMs());
  const folder = mkdtempSync(join(dataDir, COPY_PREFIX));
  try {
    const state = join(folder, "state.db");
    const epoch = snapshot(dataDir, state);
    addFile(writer, { path: "state.db", from: state });
    return epoch;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a backup left that was broken off in the middle. */
function removeLeftovers(dataDir: string, nowMs: number): void {
  for (const name of readdirSync(dataDir)) {
    if (!name.startsWith(COPY_PREFIX)) continue;
    const folder = join(dataDir, name);
    // Another backup may be under way, and end its copy meanwhile.
    const made = statSync(folder, { throwIfNoEntry: false });
    if (made === undefined || nowMs - made.mtimeMs <= LEFTOVER_MS) continue;
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // Safe to go on: an administrator's, which the server's account cannot remove, takes room and stands in nobody's way.
    }
  }
}

/** One read transaction beside the writer's. */
function snapshot(dataDir: string, into: string): number {
  const database = openForReading(dataDir);
  try {
    database.run("VACUUM INTO ?", into);
  } finally {
    database.close();
  }
  const copy = openForReading(dirname(into));
  try {
    return readEpoch(copy);
  } finally {
    copy.close();
  }
}

function addFolders(writer: SealedWriter, dataDir: string): void {
  for (const name of readdirSync(dataDir))
    if (FILES.includes(name) || isWitnessedFile(name))
      addFile(writer, { path: name, from: join(dataDir, name) });
  for (const folder of FOLDERS) {
    if (!existsSync(join(dataDir, folder))) continue;
    for (const name of readdirSync(join(dataDir, folder))) {
      const from = join(dataDir, folder, name);
      if (statSync(from).isFile()) addFile(writer, { path: `${folder}/${name}`, from });
    }
  }
}

/** Ended shards as they are, and the one that goes on. @returns the size of the ledger in tiles. */
async function addLedger(writer: SealedWriter, { directory, vkey, chain }: Source): Promise<number> {
  for (const { name, log } of chain.ended) {
    const path = shardFolder(name);
    const note = log.checkpoint();
    const { size, root } = verifyCheckpoint(note, log.vkey);
    const state = {
      path: `ledger/${path}state.json`,
      bytes: encodeLogState({ size, root, checkpoint: note }),
    };
    for (const file of [state, { path: `ledger/${path}checkpoint`, bytes: encodeUtf8(note) }])
      addBytes(writer, file);
    await addTiles(writer, { directory, path, names: tilesOf(size) });
  }
  const { live } = chain;
  const size = await addLive(writer, { directory, live });
  const { live: now } = await chainOf({ directory, vkey });
  if (now.name !== live.name) throw new TrustWardenError("ledger_unavailable", { reason: TURNED });
  return live.first + size;
}

/** The write-ahead log before the tiles: what is trimmed in between is in them. @returns the size in tiles. */
async function addLive(
  writer: SealedWriter,
  { directory, live }: { readonly directory: string; readonly live: ShardPlace },
): Promise<number> {
  const path = shardFolder(live.name);
  for (const segment of await readSegments(join(directory, path)))
    addBytes(writer, { path: `ledger/${path}wal/${segment.name}`, bytes: segment.bytes });
  const stateBytes = await readFileIfAny(join(directory, path, "state.json"));
  if (stateBytes === null) throw new TrustWardenError("ledger_corrupt", { reason: "no state" });
  const { size, checkpoint } = parseLogState(stateBytes);
  const signed = verifyCheckpoint(checkpoint, live.vkey);
  addBytes(writer, { path: `ledger/${path}state.json`, bytes: stateBytes });
  addBytes(writer, { path: `ledger/${path}checkpoint`, bytes: encodeUtf8(checkpoint) });
  await addTiles(writer, { directory, path, names: [...tilesOf(size), ...tilesOf(signed.size)] });
  return size;
}

async function addTiles(
  writer: SealedWriter,
  tiles: { readonly directory: string; readonly path: string; readonly names: readonly TileName[] },
): Promise<void> {
  const directory = join(tiles.directory, tiles.path);
  const reader = new PosixLogReader(directory);
  const names = new Map<string, TileName>(tiles.names.map((name) => [formatTilePath(name), name]));
  for (const [tile, name] of names) {
    const path = `ledger/${tiles.path}${tile}`;
    if (name.width === TILE_WIDTH) addFile(writer, { path, from: join(directory, tile) });
    else addBytes(writer, { path, bytes: (await readTileFile(reader, name)).bytes });
  }
}

async function readSegments(
  directory: string,
): Promise<readonly { readonly name: string; readonly bytes: Uint8Array }[]> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const names = readdirSync(join(directory, "wal")).toSorted();
    const read = await Promise.all(
      names.map(async (name) => ({
        name,
        bytes: await readFileIfAny(join(directory, "wal", name)),
      })),
    );
    const whole = read.flatMap(({ name, bytes }) => (bytes === null ? [] : [{ name, bytes }]));
    if (whole.length === read.length) return whole;
  }
  throw new TrustWardenError("ledger_unavailable", { reason: "the write-ahead log changes too fast" });
}
