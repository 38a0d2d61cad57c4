/**
 * Reads that every request repeats, remembered until anything is committed.
 *
 * The writer's thread counts its commits in memory that both threads see, each before it answers anybody: whoever knows
 * of a commit, a revocation least of all, also reads its effect. Nobody else may write; that nobody did is asked of SQLite
 * itself (`PRAGMA data_version`) now and then: each time costs several system calls.
 *
 * @see https://www.sqlite.org/pragma.html#pragma_data_version
 */
import type { StoreReads } from "./ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

/** Answers of one kind; a chain takes about a kilobyte a link. */
const MAX_REMEMBERED = 4096;
const DATA_VERSION = "PRAGMA data_version";
/** How long a commit of somebody who may not write stays unseen. */
const ASK_EVERY_MS = 20;
/** From so many agents on counts are remembered, for so many times as long as they took. */
const COSTLY_AGENTS = 100_000;
const COSTLY_SHARE = 50;

/** How many groups the writer has committed, or tried to; it counts on before it answers. */
export type CommitCount = Int32Array<SharedArrayBuffer>;

/** A count that threads can share. */
export function createCommitCount(): CommitCount {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** The same reads, over the connection that they go through. */
export function rememberReads(
  reads: StoreReads,
  { database, commits }: { readonly database: SqliteDatabase; readonly commits: CommitCount },
): StoreReads {
  const memory = new Memory(database, commits);
  const findOwner = memory.remember(reads.findOwner);
  const chainOf = memory.remember(reads.chainOf);
  const findSvid = memory.remember(reads.findSvid);
  const findSecret = memory.remember(reads.findSecret);
  const epoch = memory.remember(reads.epoch);
  const labelsOf = memory.remember(reads.labelsOf);
  const freeze = memory.remember(reads.freeze);
  const restore = memory.remember(reads.restore);
  const isStopped = memory.rememberBy(reads.isStopped, ({ kind, id, ownerId }) =>
    JSON.stringify([kind, id, ownerId]),
  );
  return {
    ...reads,
    findOwner,
    chainOf,
    findSvid,
    findSecret,
    labelsOf,
    isStopped,
    epoch: () => epoch(""),
    freeze: () => freeze(""),
    restore: () => restore(""),
    counts: rememberCounts(reads.counts),
  };
}

/**
 * Counts over all rows, made anew as often as a fiftieth of this thread allows: at a million agents they take long enough to hold up
 * every lease. Counts of few are always of now.
 */
function rememberCounts(count: StoreReads["counts"]): StoreReads["counts"] {
  let known: { readonly counts: ReturnType<StoreReads["counts"]>; readonly untilMs: number } | undefined;
  return () => {
    const startedMs = performance.now();
    if (known !== undefined && startedMs < known.untilMs) return known.counts;
    const counts = count();
    const endedMs = performance.now();
    const isCostly = counts.agents >= COSTLY_AGENTS;
    known = isCostly ? { counts, untilMs: endedMs + COSTLY_SHARE * (endedMs - startedMs) } : undefined;
    return counts;
  };
}

/** Owns what is remembered: all of it was read after commit number `#count`, and of `#version` when that was asked. */
class Memory {
  readonly #database: SqliteDatabase;
  readonly #commits: CommitCount;
  readonly #forgets: (() => void)[] = [];
  #count = -1;
  #version = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(database: SqliteDatabase, commits: CommitCount) {
    this.#database = database;
    this.#commits = commits;
  }

  /** A read that goes to the database only after a commit; "not found" is remembered like any answer. */
  remember<T>(read: (key: string) => T): (key: string) => T {
    return this.rememberBy(read, (key) => key);
  }

  /** The same, of a question that has more than one part. @param keyOf - different for different questions. */
  rememberBy<Asked, T>(read: (asked: Asked) => T, keyOf: (asked: Asked) => string): (asked: Asked) => T {
    const answers = new Map<string, { readonly answer: T }>();
    this.#forgets.push(() => answers.clear());
    return (asked) => {
      this.#forgetAfterCommit();
      const key = keyOf(asked);
      const known = answers.get(key);
      if (known !== undefined) return known.answer;
      const answer = read(asked);
      if (answers.size >= MAX_REMEMBERED) answers.clear();
      answers.set(key, { answer });
      return answer;
    };
  }

  #forgetAfterCommit(): void {
    const count = Atomics.load(this.#commits, 0);
    const nowMs = performance.now();
    if (count === this.#count && nowMs - this.#askedAtMs < ASK_EVERY_MS) return;
    const version = this.#database.get(DATA_VERSION)?.integer("data_version");
    if (version === undefined) throw new Error("a connection always knows its data version");
    if (count !== this.#count || version !== this.#version) for (const forget of this.#forgets) forget();
    this.#count = count;
    this.#version = version;
    this.#askedAtMs = nowMs;
  }
}
