/**
 * Makes a data directory of a backup, and of what is known besides it: a newer ledger, and the mark outside the data directory.
 *
 * What was stopped after the backup must stay stopped. So either something proves that all that happened since is known, or everything that
 * was alive in the backup is void. Nothing is in its place before all of it is proven: it is built beside and takes its name last.
 *
 * @see docs/decisions/0048; docs/guides/backup.md
 */
import type { KeyObject } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { EMPTY_ROOT } from "@trustwarden/core/agentledger/merkle.ts";
import type { HighWater, HighWaterMark } from "@trustwarden/core/agentledger/ports.ts";
import { shardOrigin } from "@trustwarden/core/agentledger/shard.ts";
import { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { ServerConfig } from "../config.ts";
import { openServerKeys, replaceLogKey, type ServerKeys } from "../keys.ts";
import { nextOrigin, originFile, originOf } from "../ledger/origin.ts";
import { highWaterPlaceOf } from "../ledger-storage.ts";
import { writePrivateFile } from "../signer/private-file.ts";
import { readEpoch } from "../store/commands/epoch.ts";
import { createPosixHighWater, replacePosixHighWater } from "../store/posix-log-high-water.ts";
import { openForWriting } from "../store/schema.ts";
import type { SqliteDatabase } from "../store/sqlite-database.ts";
import { removeStateSeal } from "../store/state-seal.ts";
import { isWitnessedFile } from "../witnessing/create.ts";
import { readFiles } from "./archive.ts";
import { accountOfProcess, makerOf } from "./backup-notes.ts";
import { adminsOf, isHeldBy, keepRestore } from "./hold-restore.ts";
import { openShardIn, requireWhole, takeNewerLedger } from "./ledger-files.ts";
import { SealedReader } from "./sealed-stream.ts";
import { closePast, Replay, type Replayed, voidEverything } from "./settle-state.ts";

export interface RestoreOptions {
  readonly file: string;
  /** Private X25519 key; null for a backup without a recipient. */
  readonly recipientKey: KeyObject | null;
  /** Must not exist, or be empty. */
  readonly dataDir: string;
  /** The configuration on a data directory that is being made. */
  readonly configOf: (dataDir: string) => ServerConfig;
  /** A directory with a newer ledger: what survived of the old one, an export, or a monitor's copy. */
  readonly ledger: string | null;
  /** End what was alive in the backup, where nothing proves what was stopped since. */
  readonly isVoidAccepted: boolean;
  /** Owners that live on then. */
  readonly vouched: readonly string[];
  /** Go on with rules that are older than the ledger says. */
  readonly areOlderRulesAccepted: boolean;
  readonly random: Random;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly onProgress: (step: string) => void;
}

/** What came of it. */
export interface Restored {
  /** `proven`: all that happened since the backup is known. `void`: nothing of it that was alive is. */
  readonly outcome: "proven" | "void";
  readonly origin: string;
  readonly size: number;
  readonly epoch: number;
  readonly replayed: Replayed;
  /** When and by whom the backup was made, and whether the ledger at hand says so too; null where the backup does not say. */
  readonly made: MadeBackup | null;
  /** Admins that the backup and the ledger at hand know; from two on, two of them have to agree before anything is issued or allowed. */
  readonly admins: number;
  readonly isHeld: boolean;
}

interface MadeBackup {
  readonly id: string;
  readonly at: string;
  readonly by: string;
  readonly isRecorded: boolean;
}

/** What the manifest of a backup says. */
interface Unpacked {
  /** Size of the ledger before the state was copied. */
  readonly known: number;
  readonly made: Omit<MadeBackup, "isRecorded"> | null;
}

/**
 * Restores.
 *
 * @throws TrustWardenError `config_invalid` for a data directory that is in use or a ledger that is another's, `backup_malformed`,
 *   `restore_loses_stops`, `owner_unknown`, `ledger_corrupt`, `seal_broken`.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { dataDir, onProgress } = options;
  requireFree(dataDir);
  // The server would start on what the database has, and nobody would have settled that.
  if (options.configOf(dataDir).state.storage !== "sqlite")
    throw new TrustWardenError("config_invalid", {
      setting: "state",
      reason: "a restore puts it on the disk",
    });
  const building = `${dataDir}.restoring`;
  if (existsSync(building))
    throw new TrustWardenError("config_invalid", {
      reason: "another restore is under way, or was interrupted",
      path: building,
    });
  mkdirSync(building, { recursive: true, mode: 0o700 });
  try {
    onProgress("files");
    const unpacked = await unpack(options, building);
    const restored = await settle(options, { building, unpacked });
    // What was signed within the second of the floor is void: the next one has begun before anybody can sign on the restored server.
    await setTimeout(1000 - (options.nowMs() % 1000));
    // The seal of a state that was here before says nothing about this one, and would keep its server from starting.
    const { configDir, trustDomain } = options.configOf(building);
    await removeStateSeal({ dataDir, configDir, trustDomain });
    if (existsSync(dataDir)) rmdirSync(dataDir);
    renameSync(building, dataDir);
    return restored;
  } catch (error) {
    rmSync(building, { recursive: true, force: true });
    throw error;
  }
}

function requireFree(dataDir: string): void {
  if (existsSync(dataDir) && readdirSync(dataDir).length > 0)
    throw new TrustWardenError("config_invalid", { setting: "dataDir", reason: "there is something in it" });
}

async function unpack({ file, recipientKey }: RestoreOptions, building: string): Promise<Unpacked> {
  const reader = new SealedReader(file, recipientKey);
  try {
    const { manifest } = await readFiles(reader, building);
    const { known, made_at: at } = manifest;
    if (typeof known !== "number" || typeof at !== "string")
      throw new TrustWardenError("backup_malformed", { reason: "manifest" });
    const maker = makerOf(manifest);
    return { known, made: maker && { id: maker.id, at, by: maker.madeBy } };
  } finally {
    reader.close();
  }
}

/** What is settled, and with what. */
interface Work {
  readonly config: ServerConfig;
  readonly keys: ServerKeys;
  readonly origin: string;
  readonly vkey: string;
  readonly mark: HighWaterMark | null;
  readonly directory: string;
}

async function settle(
  options: RestoreOptions,
  { building, unpacked }: { readonly building: string; readonly unpacked: Unpacked },
): Promise<Restored> {
  const { random, nowMs, onProgress } = options;
  const config = options.configOf(building);
  if (config.ledger.storage !== "posix" || config.ledger.directory !== undefined)
    throw new TrustWardenError("config_invalid", {
      setting: "ledger",
      reason: "a restore puts it into the data directory",
    });
  const keys = await openServerKeys({ config, random, nowMs });
  const origin = originOf(config);
  const vkey = formatVkey(origin, rawEd25519Key(keys.logKeys.first));
  const highWater = highWaterPlaceOf({ ...config, dataDir: options.dataDir });
  const mark = await createPosixHighWater(highWater).read();
  const work: Work = { config, keys, origin, vkey, mark, directory: join(building, "ledger") };
  if (options.ledger !== null) await takeNewerLedger(work, options.ledger);
  onProgress("ledger");
  const sequencer = createLog(work, nowMs);
  await sequencer.start();
  const settled = await settleWith(options, { work, sequencer, unpacked }).finally(() => sequencer.stop());
  const { isLogLost, restored } = settled;
  const { size, epoch } = restored;
  if (!isLogLost) {
    await raiseMark(createPosixHighWater(highWater), { mark, epoch, origins: settled.origins });
    return restored;
  }
  const next = nextOrigin(origin, config.trustDomain);
  beginNextLedger(work, { origin: next, size, random });
  // The only place where a mark is not raised: what it stood for is over, and the new log has another name.
  await replacePosixHighWater(highWater, { origin: next, size: 0, root: EMPTY_ROOT, epoch });
  return { ...restored, origin: next, size: 0 };
}

/** The mark goes with each turn that it has not seen. */
async function raiseMark(
  highWater: HighWater,
  about: {
    readonly mark: HighWaterMark | null;
    readonly epoch: number;
    readonly origins: readonly string[];
  },
): Promise<void> {
  const { mark, epoch, origins } = about;
  const known = mark === null ? origins.length - 1 : origins.indexOf(mark.origin);
  for (const [at, origin] of origins.entries())
    if (at >= known) await highWater.raise({ origin, epoch, after: origins[at - 1] });
}

/** What was decided about a state, and whether the end of its ledger is lost. */
interface Settled {
  readonly isLogLost: boolean;
  /** Of all shards, oldest first. */
  readonly origins: readonly string[];
  readonly restored: Restored;
}

async function settleWith(
  options: RestoreOptions,
  parts: { readonly work: Work; readonly sequencer: ShardedLog; readonly unpacked: Unpacked },
): Promise<Settled> {
  await requireWhole(parts.work);
  options.onProgress("state");
  const database = openForWriting(parts.work.config.dataDir);
  try {
    return await settleState(options, { ...parts, database });
  } finally {
    database.close();
  }
}

async function settleState(
  options: RestoreOptions,
  parts: {
    readonly work: Work;
    readonly sequencer: ShardedLog;
    readonly database: SqliteDatabase;
    readonly unpacked: Unpacked;
  },
): Promise<Settled> {
  const { work, sequencer, database, unpacked } = parts;
  const { known } = unpacked;
  const { isVoidAccepted, vouched } = options;
  database.exec("BEGIN IMMEDIATE");
  const { result: replayed, backups, admins } = await replayFrom(known, sequencer, database);
  const epoch = readEpoch(database);
  const doubt = doubtOf({ options, work, log: sequencer, epoch });
  if (doubt !== null && !isVoidAccepted) throw new TrustWardenError("restore_loses_stops", doubt);
  if (Object.keys(replayed.missing).length > 0 && !options.areOlderRulesAccepted)
    throw new TrustWardenError("restore_loses_stops", { reason: "rules changed since", ...replayed.missing });
  const moment = { epoch: Math.max(work.mark?.epoch ?? 0, epoch), nowMs: options.nowMs() };
  const knownAdmins = admins.over(adminsOf(database));
  const agreeing = isHeldBy(knownAdmins) ? knownAdmins : [];
  const taken = isVoidAccepted
    ? voidEverything(database, { ...moment, vouched, agreeing })
    : closePast(database, moment);
  const outcome = isVoidAccepted ? "void" : "proven";
  const { isHeld } = keepRestore(database, {
    ...{ outcome, backup: unpacked.made?.id ?? null, restoredAt: Math.floor(moment.nowMs / 1000) },
    ...{ restoredBy: accountOfProcess(), admins: knownAdmins, random: options.random },
  });
  database.exec("COMMIT");
  const { origin } = work;
  const made = unpacked.made && { ...unpacked.made, isRecorded: backups.has(unpacked.made.id) };
  return {
    isLogLost: doubt?.reason === "ledger",
    origins: sequencer.shards.map((shard) => shard.origin),
    restored: {
      ...{ outcome, origin, size: sequencer.size, epoch: taken, replayed, made },
      ...{ admins: knownAdmins.length, isHeld },
    },
  };
}

async function replayFrom(known: number, log: ShardedLog, database: SqliteDatabase): Promise<Replay> {
  const replay = new Replay(database);
  for (let index = known; index < log.size; ) {
    const entries = await log.readEntriesFrom(index);
    for (const entry of entries) replay.take(entry);
    index += entries.length;
  }
  return replay;
}

/** Why what happened since the backup is not known; null when it is. */
function doubtOf(about: {
  readonly options: RestoreOptions;
  readonly work: Work;
  readonly log: ShardedLog;
  readonly epoch: number;
}): { readonly reason: "ledger" | "epoch"; readonly known: number; readonly mark: number | null } | null {
  const { options, work, log, epoch } = about;
  const { mark } = work;
  const { size } = log;
  // Without a mark only somebody's word says that a ledger is the newest: the operator's, who gives one.
  if (mark === null) return options.ledger === null ? { reason: "ledger", known: size, mark: null } : null;
  // A turn may be newer than the mark: it is then that of a shard which has ended here.
  const marked = log.shards.find(({ origin }) => origin === mark.origin);
  if (marked === undefined || mark.size > marked.log.size)
    return { reason: "ledger", known: size, mark: mark.size };
  return mark.epoch > epoch ? { reason: "epoch", known: epoch, mark: mark.epoch } : null;
}

/** Finishes what a crash interrupted. What the mark says is judged by `doubtOf`, so here it is not asked. */
function createLog({ origin: ledger, keys, directory }: Work, nowMs: () => number): ShardedLog {
  const mark = { origin: ledger, size: 0, root: EMPTY_ROOT, epoch: 0 };
  return new ShardedLog({
    ledger,
    keys: keys.logKeys,
    openShard: (name) => {
      mark.origin = shardOrigin(ledger, name);
      return openShardIn(directory, name);
    },
    highWater: { read: async () => mark, raise: async () => undefined },
    now: () => Math.floor(nowMs() / 1000),
    onFatal: () => undefined,
  });
}

/** The old log stays as evidence, and is never extended again: the key that could is replaced. */
function beginNextLedger(
  { config, directory }: Work,
  { origin, size, random }: { readonly origin: string; readonly size: number; readonly random: Random },
): void {
  const { dataDir } = config;
  renameSync(directory, join(dataDir, `ledger-before-${size}`));
  replaceLogKey({ config, random });
  writePrivateFile(originFile(dataDir), encodeUtf8(`${origin}\n`));
  for (const name of readdirSync(dataDir)) if (isWitnessedFile(name)) rmSync(join(dataDir, name));
}
