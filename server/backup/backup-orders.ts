/**
 * Backups that are ordered from the server: one at a time, always sealed, written to the configured place and never sent to anybody.
 *
 * The server can write there and therefore delete there: move them away, or keep versions (docs/guides/backup.md).
 */
import { readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { ServerConfig } from "../config.ts";
import { type BackupJob, type RunningBackup, startBackupJob } from "./backup-job.ts";
import type { BackupSettings } from "./config.ts";

const ID_BYTES = 16;
/** After the trust domain, the folder in which an ordered backup is made beside its file. */
const MAKING = /^-\d{8}T\d{6}Z-[0-9a-f]{8}\.tw-\w{6}$/;

/** A backup that was ordered, and what came of it. */
export interface OrderedBackup {
  readonly id: string;
  /** Unix seconds. */
  readonly orderedAt: number;
  readonly endedAt: number | null;
  /** Name in the configured directory, size, and entries of the ledger; null until it is made. */
  readonly made: { readonly file: string; readonly bytes: number; readonly size: number } | null;
  /** Why it was not made. */
  readonly code: string | null;
}

/** Owns the one job that runs. What was ordered is known until the server ends; that it was made is in the ledger. */
export class BackupOrders {
  readonly #config: ServerConfig;
  readonly #random: Random;
  /** What no backup may lie in. */
  readonly #own: readonly string[];
  readonly #nowMs: () => number;
  readonly #start: (job: BackupJob) => RunningBackup;
  #running: RunningBackup | null = null;
  /** The end of what runs, with everything after it. */
  #ended: Promise<void> = Promise.resolve();
  #last: OrderedBackup | null = null;

  constructor(options: {
    readonly config: ServerConfig;
    readonly random: Random;
    readonly nowMs: () => number;
    readonly start?: (job: BackupJob) => RunningBackup;
  }) {
    this.#config = options.config;
    this.#random = options.random;
    this.#nowMs = options.nowMs;
    this.#start = options.start ?? startBackupJob;
    const { backup, dataDir, configDir } = options.config;
    this.#own = [dataDir, configDir];
    if (backup === undefined) return;
    requireElsewhere(backup, this.#own);
    this.#removeUnfinished(backup);
  }

  get isConfigured(): boolean {
    return this.#config.backup !== undefined;
  }

  /** The latest; null when none was ordered since the start. */
  get last(): OrderedBackup | null {
    return this.#last;
  }

  /**
   * Begins one.
   *
   * @param orderedBy - principals that stand behind it, separated by spaces.
   * @throws TrustWardenError `backup_not_configured`, `backup_running`, `config_invalid` when the recipient's key is not there.
   */
  order(orderedBy: string): OrderedBackup {
    const { backup, trustDomain } = this.#config;
    if (backup === undefined) throw new TrustWardenError("backup_not_configured");
    if (this.#running !== null) throw new TrustWardenError("backup_running");
    // Links may lead elsewhere than at the start.
    requireElsewhere(backup, this.#own);
    const nowMs = this.#nowMs();
    const id = encodeHex(this.#random(ID_BYTES));
    const name = `${trustDomain}-${new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, "")}-${id.slice(0, 8)}.tw`;
    const ordered = { id, orderedAt: Math.floor(nowMs / 1000), endedAt: null, made: null, code: null };
    const running = this.#start({
      config: this.#config,
      file: join(backup.directory, name),
      recipientPem: readRecipient(backup.recipientFile),
      order: { id, orderedBy },
    });
    this.#running = running;
    this.#last = ordered;
    this.#ended = running.end.then((end) => {
      this.#running = null;
      this.#removeUnfinished(backup);
      const endedAt = Math.floor(this.#nowMs() / 1000);
      this.#last =
        "code" in end
          ? { ...ordered, endedAt, code: end.code }
          : { ...ordered, endedAt, made: { file: name, ...end } };
    });
    return ordered;
  }

  /** Breaks off what runs. */
  async close(): Promise<void> {
    await this.#running?.stop();
    await this.#ended;
  }

  /** Whoever is broken off, or killed, takes nothing away any more: half a backup, which nobody can use, would fill the place. */
  #removeUnfinished({ directory }: BackupSettings): void {
    const begin = `.${this.#config.trustDomain}`;
    try {
      for (const name of readdirSync(directory))
        if (name.startsWith(begin) && MAKING.test(name.slice(begin.length)))
          rmSync(join(directory, name), { recursive: true, force: true });
    } catch {
      // Safe to go on: a place that cannot be read or written refuses the next backup, which says why; and this is tried again.
    }
  }
}

function readRecipient(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting: "backup.recipientFile", path }, { cause });
  }
}

/** A backup beside what it is a backup of is lost with it, and one in it would be in the next: also where a link leads there. */
function requireElsewhere({ directory }: BackupSettings, own: readonly string[]): void {
  const place = `${placeOf(directory)}${sep}`;
  if (own.some((one) => place.startsWith(`${placeOf(one)}${sep}`)))
    throw new TrustWardenError("config_invalid", {
      setting: "backup.directory",
      reason: "it is the server's own",
    });
}

/** Where a path leads to, with every link followed. */
function placeOf(path: string): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch {
    // Safe: of what is not there yet the folders above say where it would be; a way that cannot be followed is refused by whoever writes there.
    return dirname(whole) === whole ? whole : join(placeOf(dirname(whole)), basename(whole));
  }
}
