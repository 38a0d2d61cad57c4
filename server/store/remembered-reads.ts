/**
 * Reads that every request repeats, remembered until anything is committed.
 *
 * SQLite itself says whether anybody committed since the last look (`PRAGMA data_version`), so a remembered answer is
 * the one that a query would give. It is asked once in each synchronous stretch of work: no answer of the writer can
 * arrive within one, so whoever knows of a commit, a revocation least of all, also reads its effect.
 *
 * @see https://www.sqlite.org/pragma.html#pragma_data_version
 */
import type { StoreReads } from "./ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

/** Answers of one kind; a chain takes about a kilobyte a link. */
const MAX_REMEMBERED = 4096;
const DATA_VERSION = "PRAGMA data_version";

/** The same reads, over the connection that they go through. */
export function rememberReads(database: SqliteDatabase, reads: StoreReads): StoreReads {
  const memory = new Memory(database);
  const findOwner = memory.remember(reads.findOwner);
  const chainOf = memory.remember(reads.chainOf);
  const findSvid = memory.remember(reads.findSvid);
  const findSecret = memory.remember(reads.findSecret);
  const epoch = memory.remember(reads.epoch);
  const labelsOf = memory.remember(reads.labelsOf);
  const freeze = memory.remember(reads.freeze);
  return {
    ...reads,
    findOwner,
    chainOf,
    findSvid,
    findSecret,
    labelsOf,
    epoch: () => epoch(""),
    freeze: () => freeze(""),
  };
}

/** Owns what is remembered. All of it is of `#version`. */
class Memory {
  readonly #database: SqliteDatabase;
  readonly #forgets: (() => void)[] = [];
  #version = 0;
  /** Until the stretch of work that asked for the version is over. */
  #isCurrent = false;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  /** A read that goes to the database only after a commit; "not found" is remembered like any answer. */
  remember<T>(read: (key: string) => T): (key: string) => T {
    const answers = new Map<string, { readonly answer: T }>();
    this.#forgets.push(() => answers.clear());
    return (key) => {
      this.#forgetAfterCommit();
      const known = answers.get(key);
      if (known !== undefined) return known.answer;
      const answer = read(key);
      if (answers.size >= MAX_REMEMBERED) answers.clear();
      answers.set(key, { answer });
      return answer;
    };
  }

  #forgetAfterCommit(): void {
    if (this.#isCurrent) return;
    const version = this.#database.get(DATA_VERSION)?.integer("data_version");
    if (version === undefined) throw new Error("a connection always knows its data version");
    if (version !== this.#version) for (const forget of this.#forgets) forget();
    this.#version = version;
    this.#isCurrent = true;
    queueMicrotask(() => {
      this.#isCurrent = false;
    });
  }
}
