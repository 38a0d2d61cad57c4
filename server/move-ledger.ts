/**
 * Moving the ledger of a data directory to another storage: most of it while the server works, the rest when it has ended.
 *
 * @see docs/guides/ledger-storage.md; docs/decisions/0041
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { copyPublished, type MovedLog, moveLog } from "@trustwarden/core/agentledger/move-log.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { ServerConfig } from "./config.ts";
import { openServerKeys } from "./keys.ts";
import { ledgerSettings, requireProtectedLedger } from "./ledger/config.ts";
import { originOf } from "./ledger/origin.ts";
import { createLedgerStorage, highWaterPlaceOf, requireOneShard } from "./ledger-storage.ts";
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

/**
 * Moves the ledger; the server starts on the new storage once its configuration names it.
 *
 * @throws TrustWardenError `config_invalid`, `data_locked` when the server does not end in time, and the codes of
 *   `moveLog`: the ledger is then where it was, or is moved by the next call.
 */
export async function moveLedger(options: MoveOptions): Promise<MovedLog> {
  const { config, settingsFile, waitMs, random, nowMs, onCopied } = options;
  const { logSigner } = await openServerKeys({ config, random, nowMs });
  const origin = originOf(config);
  const vkey = formatVkey(origin, rawEd25519Key(logSigner.publicKey));
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => undefined);
  const open = (ledger: ServerConfig["ledger"]) =>
    createLedgerStorage({ dataDir: config.dataDir, ledger }, { origin, nowMs, onLost: lost.reject });
  const source = open(config.ledger);
  const target = open(readSettings(settingsFile));
  let lock: PosixLock | undefined;
  try {
    await requireOneShard(source.reader, vkey);
    await target.storage.open();
    const copied = await copyPublished(source.reader, { target: target.storage, vkey });
    onCopied(copied.size);
    lock = await waitForLock(join(config.dataDir, "server.lock"), waitMs);
    await source.storage.open();
    const mark = await createPosixHighWater(highWaterPlaceOf(config)).read();
    const move = moveLog({ source: source.storage, target: target.storage, vkey, mark, copied });
    return await Promise.race([move, lost.promise]);
  } finally {
    for (const { storage, close } of [source, target]) {
      await storage.close();
      close();
    }
    lock?.release();
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
