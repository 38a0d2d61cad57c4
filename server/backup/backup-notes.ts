/**
 * Who made a backup, in the ledger: a backup is made beside the server, by a process of its own, so that process leaves a note
 * in the data directory and the server records it, at once or at its next start.
 *
 * The note is durable before the backup has its name, and is gone when its event is durable; a crash in between leaves a
 * second event of one id. What it says is that process's word, as far as the host's accounts go.
 *
 * @see docs/decisions/0073
 */
import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { EventContext } from "../ledger/server-records.ts";
import type { ControlDraft } from "../store/ports.ts";
import { readFileIfAny, replaceFile, syncDirectory } from "../store/posix-log-files.ts";

const FOLDER = "backups";
const NOTE = /^[0-9a-f]{32}\.json$/;
const ID = /^[0-9a-f]{32}$/;
/** More than a server's backups of a day; further ones are for the next look. */
const MAX_NOTES = 64;
const MAX_NOTE_CHARS = 2048;
const LOOK_MS = 2000;

/** What is said of a backup. */
export interface BackupNote {
  /** 32 hex digits; in the backup's manifest too. */
  readonly id: string;
  /** `uid:<number>` of the host's account. */
  readonly madeBy: string;
  /** Principals who ordered it from the server, separated by spaces; null for one that was made beside it. */
  readonly orderedBy: string | null;
  /** RFC 3339. */
  readonly madeAt: string;
  /** Entries of the ledger in it. */
  readonly size: number;
  /** Whether it is sealed to a recipient. */
  readonly isSealed: boolean;
}

/** Leaves a note for the server of a data directory; durable when this resolves. */
export async function leaveBackupNote(dataDir: string, note: BackupNote): Promise<void> {
  const folder = join(dataDir, FOLDER);
  if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
  const path = join(folder, `${note.id}.json`);
  const { id, madeBy, orderedBy, madeAt, size, isSealed } = note;
  const json = { id, made_by: madeBy, ordered_by: orderedBy, made_at: madeAt, size, sealed: isSealed };
  await replaceFile({ path, temporary: `${path}.tmp`, bytes: encodeUtf8(formatCanonicalJson(json)) });
  // An administrator's backup is noted for the account that the server runs as.
  const { uid, gid } = statSync(dataDir);
  const isForAnother = process.getuid?.() === 0 && uid !== 0;
  if (isForAnother) for (const place of [folder, path]) chownSync(place, uid, gid);
  await syncDirectory(dataDir);
}

/** Id of the backup that an event is about; null for any other event. */
export function backupIdOf(details: JsonObject): string | null {
  return details.change === "backup" && typeof details.backup === "string" ? details.backup : null;
}

/** What recording stands on. */
export interface BackupNotesDeps {
  readonly dataDir: string;
  /** Signs and appends events as neighbours. @throws TrustWardenError `ledger_unavailable`. */
  readonly record: (
    events: readonly { readonly draft: ControlDraft; readonly epoch: number }[],
    context: Omit<EventContext, "epoch">,
  ) => Promise<unknown>;
  readonly epoch: () => number;
  readonly nowMs: () => number;
  /** A look that failed; the next one tries again. */
  readonly onFailure: (error: unknown) => void;
}

/** Owns the timer of the looks. */
export class BackupNotes {
  readonly #deps: BackupNotesDeps;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(deps: BackupNotesDeps) {
    this.#deps = deps;
  }

  /** Begins to look, when the server has had a moment to start. */
  start(): void {
    const look = () => {
      this.#looking = this.#looking.then(() => this.look()).catch(this.#deps.onFailure);
    };
    this.#timer = setInterval(look, LOOK_MS);
    this.#timer.unref();
  }

  /** Returns when no look runs any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /**
   * Records the notes that are there; one that cannot be keeps no other from it.
   *
   * @throws TrustWardenError `ledger_unavailable`, `backup_malformed`: of the first that could not.
   */
  async look(): Promise<void> {
    const folder = join(this.#deps.dataDir, FOLDER);
    const names = existsSync(folder) ? readdirSync(folder).filter((name) => NOTE.test(name)) : [];
    const failures: unknown[] = [];
    for (const name of names.toSorted().slice(0, MAX_NOTES)) {
      await this.#record(join(folder, name)).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async #record(path: string): Promise<void> {
    const { record, epoch, nowMs } = this.#deps;
    // Nothing but a plain file is read: whoever may write here could else have the server read another.
    const bytes = lstatSync(path).isFile() ? await readFileIfAny(path) : null;
    if (bytes === null) return;
    const { id, madeBy, orderedBy, madeAt, size, isSealed } = parseNote(bytes);
    const ordered = orderedBy === null ? {} : { ordered_by: orderedBy };
    const draft = {
      kind: "admin",
      allow: true,
      reasons: [],
      subject: `backup:${id}`,
      chain: [],
      details: { change: "backup", backup: id, made_at: madeAt, size, sealed: isSealed, ...ordered },
    } as const;
    const context = { nowMs: nowMs(), principal: "operator", peer: madeBy, intent: null };
    await record([{ draft, epoch: epoch() }], context);
    rmSync(path);
  }
}

function parseNote(bytes: Uint8Array): BackupNote {
  const json = parseJsonObject(parseUtf8(bytes), MAX_NOTE_CHARS);
  const fields = new Fields(json, "backup_malformed");
  const note = {
    id: fields.matching("id", ID),
    madeBy: fields.matching("made_by", /^uid:(?:\d{1,10}|unknown)$/),
    // A warden of before leaves none.
    orderedBy: json.ordered_by === undefined ? null : fields.textOrNull("ordered_by"),
    madeAt: fields.time("made_at"),
    size: fields.integer("size"),
    isSealed: fields.boolean("sealed"),
  };
  fields.end();
  return note;
}

/** The account of this process, as notes and manifests name it. */
export function accountOfProcess(): string {
  return `uid:${process.getuid?.() ?? "unknown"}`;
}

/** Who made a backup, by its manifest; null for one of before that was said. @throws TrustWardenError `backup_malformed`. */
export function makerOf(manifest: JsonObject): { readonly id: string; readonly madeBy: string } | null {
  const { id, made_by: madeBy } = manifest;
  if (id === undefined && madeBy === undefined) return null;
  if (typeof id !== "string" || !ID.test(id) || typeof madeBy !== "string" || madeBy.length > 64)
    throw new TrustWardenError("backup_malformed", { reason: "manifest" });
  return { id, madeBy };
}
