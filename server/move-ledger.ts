/**
 * Moving the ledger of a data directory to another storage: most of it while the server works, the rest when it has ended.
 *
 * @see docs/guides/ledger-storage.md; docs/decisions/0041
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { copyEnded, copyPublished, type MovedLog, moveLog } from "@trustwarden/core/agentledger/move-log.ts";
import type { HighWaterMark, LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { type ShardName, shardOrigin } from "@trustwarden/core/agentledger/shard.ts";
import { readShardChain } from "@trustwarden/core/agentledger/shard-chain.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { ServerConfig } from "./config.ts";
import { openServerKeys } from "./keys.ts";
import { ledgerSettings, requireProtectedLedger } from "./ledger/config.ts";
import { originOf } from "./ledger/origin.ts";
import { createLedgerStorage, highWaterPlaceOf, type LedgerStorage } from "./ledger-storage.ts";
import { acquirePosixLock, type PosixLock } from "./store/posix-lock.ts";
import { createPosixHighWater } from "./store/posix-log-high-water.ts";

const LOCK_POLL_MS = 100;
const MAX_SETTINGS_CHARS = 65_536;

export interface MoveOptions {
  /** As the server was started with it. */
  readonly config: ServerConfig;
  /** File with the section `ledger` of the configuration to be. */
  readonly settingsFile: string;
  /** How long to wait for the server to end. */
  readonly waitMs: number;
  readonly random: Random;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  /** Told when all that can be copied beside the server is copied, and the server has to end. */
  readonly onCopied: (files: number) => void;
}

/** What was moved, counted through all shards; the root is that of the last one. */
export interface MovedLedger extends MovedLog {
  readonly shards: number;
}

/**
 * Moves the ledger, all shards of it; the server starts on the new storage once its configuration names it.
 *
 * @throws TrustWardenError `config_invalid`, `not_found` without a ledger, `data_locked` when the server does not end in
 *   time, and the codes of `moveLog`: the ledger is then where it was, or is moved by the next call.
 */
export async function moveLedger(options: MoveOptions): Promise<MovedLedger> {
  const { config, settingsFile, waitMs, random, nowMs, onCopied } = options;
  requireDataDirectory(config);
  const { logKeys } = await openServerKeys({ config, random, nowMs });
  const ledger = originOf(config);
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => undefined);
  const open = (settings: ServerConfig["ledger"]) =>
    new ShardStorages((shard) => {
      const origin = shardOrigin(ledger, shard);
      const place = { origin, shard, nowMs, onLost: lost.reject };
      return createLedgerStorage({ dataDir: config.dataDir, ledger: settings }, place);
    });
  const vkey = formatVkey(ledger, rawEd25519Key(logKeys.first));
  const move: Move = {
    source: open(config.ledger),
    target: open(readSettings(settingsFile)),
    vkey,
    readMark: () => createPosixHighWater(highWaterPlaceOf(config)).read(),
  };
  let lock: PosixLock | undefined;
  try {
    const copied = await copyBeside(move);
    onCopied(copied.files);
    lock = await waitForLock(join(config.dataDir, "server.lock"), waitMs);
    return await Promise.race([handOver(move, copied), lost.promise]);
  } finally {
    await move.source.close();
    await move.target.close();
    lock?.release();
  }
}

/** A directory that no server has worked in has no ledger, and opening its keys would say that they are missing. */
function requireDataDirectory({ dataDir }: ServerConfig): void {
  if (!existsSync(join(dataDir, "keys")))
    throw new TrustWardenError("not_found", { reason: "no server has worked in this data directory" });
}

/** One move of one ledger. */
interface Move {
  readonly source: ShardStorages;
  readonly target: ShardStorages;
  readonly vkey: string;
  readonly readMark: () => Promise<HighWaterMark | null>;
}

/** What can never change any more, by shard. */
interface Copied {
  readonly live: ShardName;
  readonly paths: ReadonlySet<string>;
  readonly files: number;
}

/** Copies ended shards whole, and the full tiles of the one that goes on. */
async function copyBeside({ source, target, vkey }: Move): Promise<Copied> {
  const { ended, live } = await readShardChain(vkey, (name) => source.at(name).reader);
  let files = 0;
  for (const shard of ended) files += await copyEnded(shard, await target.opened(shard.name));
  const { reader } = source.at(live.name);
  const paths = await copyPublished(reader, { target: await target.opened(live.name), vkey: live.vkey });
  return { live: live.name, paths, files: files + paths.size };
}

/** The rest, once the server has ended: it may have turned to another shard meanwhile. */
async function handOver({ source, target, vkey, readMark }: Move, copied: Copied): Promise<MovedLedger> {
  const { ended, live } = await readShardChain(vkey, (name) => source.at(name).reader);
  for (const shard of ended) await copyEnded(shard, await target.opened(shard.name));
  const from = await source.opened(live.name);
  const last = ended.at(-1);
  if (last !== undefined && (await from.readState()) === null)
    throw new TrustWardenError("config_invalid", {
      setting: "ledger",
      reason: "a turn to the next shard is not finished: start the server once, and move it then",
    });
  const mark = await readMark();
  const moved = await moveLog({
    source: from,
    target: await target.opened(live.name),
    vkey: live.vkey,
    // Of the shard before, as long as this one has signed nothing.
    mark: mark !== null && mark.origin === last?.origin ? null : mark,
    copied: copied.live === live.name ? copied.paths : new Set(),
  });
  return { ...moved, size: live.first + moved.size, shards: ended.length + 1 };
}

/** Owns the storages of a ledger's shards; each is made once, and opened where it is written. */
class ShardStorages {
  readonly #create: (shard: ShardName) => LedgerStorage;
  readonly #made = new Map<ShardName, LedgerStorage>();
  readonly #open = new Set<ShardName>();

  constructor(create: (shard: ShardName) => LedgerStorage) {
    this.#create = create;
  }

  at(shard: ShardName): LedgerStorage {
    const known = this.#made.get(shard);
    if (known !== undefined) return known;
    const made = this.#create(shard);
    this.#made.set(shard, made);
    return made;
  }

  /** As the one writer of that shard. @throws TrustWardenError `data_locked`. */
  async opened(shard: ShardName): Promise<LogStorage> {
    const { storage } = this.at(shard);
    if (!this.#open.has(shard)) await storage.open();
    this.#open.add(shard);
    return storage;
  }

  async close(): Promise<void> {
    for (const { storage, close } of this.#made.values()) {
      await storage.close();
      close();
    }
  }
}

/** @throws TrustWardenError `config_invalid`. */
function readSettings(file: string): ServerConfig["ledger"] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting: "to", reason: "cannot be read" }, { cause });
  }
  const parsed = ledgerSettings.safeParse(parseJsonObject(text, MAX_SETTINGS_CHARS));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new TrustWardenError("config_invalid", {
      setting: ["ledger", ...(issue?.path ?? [])].join("."),
      reason: issue?.message ?? "",
    });
  }
  requireProtectedLedger(parsed.data);
  return parsed.data;
}

/** The lock of the data directory is free when the server has ended. @throws TrustWardenError `data_locked`. */
async function waitForLock(path: string, waitMs: number): Promise<PosixLock> {
  const untilMs = performance.now() + waitMs;
  for (;;) {
    try {
      return acquirePosixLock(path);
    } catch (error) {
      if (performance.now() >= untilMs) throw error;
      await setTimeout(LOCK_POLL_MS);
    }
  }
}
