/**
 * What a witness remembers: one note per log, in an SQLite database of its own.
 *
 * Reading, deciding and writing are one immediate transaction, durable before `update` returns: neither two requests
 * nor two processes on one database can take the witness back, and a crash leaves the note of before or of after. Who
 * loses the database has lost the witness: it would cosign a second history, so `open` never makes a new one.
 */
import { existsSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { AnnouncementStep } from "@trustwarden/core/agentledger/add-shard.ts";
import { parseCheckpointText } from "@trustwarden/core/agentledger/checkpoint.ts";
import { parseNote } from "@trustwarden/core/agentledger/signed-note.ts";
import type { WitnessStep } from "@trustwarden/core/agentledger/witness.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** How long a second process on the database waits for the first. */
const LOCK_TIMEOUT_MS = 5000;
const SCHEMA = `
  create table if not exists checkpoints (
    origin text primary key,
    size integer not null,
    note text not null
  ) strict, without rowid;
  create table if not exists ends (
    origin text primary key,
    next text not null
  ) strict, without rowid;
`;
/** The condition repeats what was decided: a smaller tree never takes the place of a larger one. */
const REMEMBER = `
  insert into checkpoints (origin, size, note) values (?, ?, ?)
  on conflict (origin) do update set size = excluded.size, note = excluded.note
  where excluded.size >= checkpoints.size
`;

/** Owns the connection. */
export class WitnessStore {
  readonly #database: DatabaseSync;
  readonly #find: StatementSync;
  readonly #origins: StatementSync;
  readonly #remember: StatementSync;
  readonly #nexts: StatementSync;
  readonly #follow: StatementSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#find = database.prepare("select note from checkpoints where origin = ?");
    this.#origins = database.prepare("select origin from checkpoints");
    this.#remember = database.prepare(REMEMBER);
    this.#nexts = database.prepare("select origin, next from ends");
    this.#follow = database.prepare("insert into ends (origin, next) values (?, ?) on conflict do nothing");
  }

  /** Makes the database of a new witness. @throws TrustWardenError `usage` when there is one. */
  static create(path: string): void {
    if (existsSync(path)) throw new TrustWardenError("usage", { why: `${path} is there already` });
    const database = new DatabaseSync(path);
    try {
      database.exec(`pragma synchronous = extra; ${SCHEMA}`);
    } finally {
      database.close();
    }
  }

  /** @throws TrustWardenError `not_found` when the witness has no memory. */
  static open(path: string): WitnessStore {
    if (!existsSync(path)) {
      throw new TrustWardenError("not_found", {
        why: `${path} is not there, and without its memory a witness would cosign a second history`,
        next: "Bring the newest copy back, or retire this witness and make another with a new key.",
      });
    }
    const database = new DatabaseSync(path, { timeout: LOCK_TIMEOUT_MS });
    // EXTRA: the commit is durable even when the power goes before the journal's name is gone from the directory.
    database.exec("pragma synchronous = extra");
    // Of a witness that was made before logs could end under it.
    database.exec(SCHEMA);
    return new WitnessStore(database);
  }

  /** The note remembered for a log. */
  read(origin: string): string | null {
    const note = this.#find.get(origin)?.note;
    return typeof note === "string" ? note : null;
  }

  /** Of every log that a note is remembered for. */
  origins(): readonly string[] {
    return this.#origins.all().flatMap(({ origin }) => (typeof origin === "string" ? [origin] : []));
  }

  /** Keys of the shards that follow logs which have ended, by the origin of the log before. */
  nexts(): ReadonlyMap<string, string> {
    const rows = this.#nexts.all();
    return new Map(
      rows.flatMap(({ origin, next }) =>
        typeof origin === "string" && typeof next === "string" ? [[origin, next] as const] : [],
      ),
    );
  }

  /** Decides on the end of a log and remembers the key that it names, as one. Durable on return. */
  end(origin: string, decide: (remembered: string | null) => AnnouncementStep): AnnouncementStep {
    return this.#asOne(() => {
      const step = decide(this.read(origin));
      if (step.next !== null) this.#follow.run(origin, step.next);
      return step;
    });
  }

  /** Decides on what is remembered and remembers what was decided, as one. Durable on return. */
  update(origin: string, decide: (remembered: string | null, hasEnded: boolean) => WitnessStep): WitnessStep {
    return this.#asOne(() => {
      const step = decide(this.read(origin), this.nexts().has(origin));
      if (step.kind === "accepted") this.#replace(origin, step.remember);
      return step;
    });
  }

  close(): void {
    this.#database.close();
  }

  #asOne<T>(run: () => T): T {
    this.#database.exec("begin immediate");
    try {
      const step = run();
      this.#database.exec("commit");
      return step;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("rollback");
      throw error;
    }
  }

  #replace(origin: string, note: string): void {
    const { size } = parseCheckpointText(parseNote(note).unverifiedText);
    if (this.#remember.run(origin, size, note).changes !== 1) throw new Error("a witness does not go back");
  }
}
