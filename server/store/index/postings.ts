/**
 * For each term the events that have it: one set a block of events, in rows that are ordered by block, so that a growing
 * log writes at the end.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { BLOCK_EVENTS, MemberSet, type Members, parseMembers } from "./members.ts";

/** Keys of a block: a row's is `block * BLOCK_KEYS + term`, which stays a safe integer for 4 million blocks. */
export const BLOCK_KEYS = 2 ** 31;
/** Sets kept in memory for writing; the common terms are written again with every batch. */
const MAX_KEPT = 150_000;

/** Sets kept in memory for reading: at most 32 MB. The common terms are asked for again and again. */
const MAX_READ = 4096;

export const POSTINGS_SCHEMA = `
  CREATE TABLE postings (key INTEGER PRIMARY KEY, members BLOB NOT NULL) STRICT;
`;

/** Owns the sets that are being written; what was added is in the database after `flush`. */
export class Postings {
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #sets = new Map<number, MemberSet>();
  readonly #dirty = new Set<number>();
  /** As the database has them; null where it has none. What was used last is dropped last. */
  readonly #read = new Map<number, Members | null>();

  constructor(database: DatabaseSync) {
    this.#get = database.prepare("SELECT members FROM postings WHERE key = ?");
    this.#put = database.prepare("INSERT OR REPLACE INTO postings (key, members) VALUES (?, ?)");
  }

  add(term: number, event: number): void {
    this.#open(term, event).add(event % BLOCK_EVENTS);
  }

  remove(term: number, event: number): void {
    this.#open(term, event).remove(event % BLOCK_EVENTS);
  }

  /** Writes what was added and removed. */
  flush(): void {
    // In the order of the keys, so that one page after the other is written.
    for (const key of [...this.#dirty].sort((left, right) => left - right)) {
      const set = this.#sets.get(key);
      if (set !== undefined) this.#put.run(key, set.encode());
      this.#read.delete(key);
    }
    this.#dirty.clear();
    if (this.#sets.size > MAX_KEPT) this.#sets.clear();
  }

  /** The events of a block that have a term, as of the last flush; null for none. */
  read(term: number, block: number): Members | null {
    const key = block * BLOCK_KEYS + term;
    const known = this.#read.get(key);
    const bytes = known === undefined ? this.#get.get(key)?.members : undefined;
    const members = known ?? (bytes instanceof Uint8Array ? parseMembers(bytes) : null);
    this.#read.delete(key);
    this.#read.set(key, members);
    if (this.#read.size > MAX_READ) this.#forgetOldest();
    return members;
  }

  /** Sets of these blocks are read again when they are asked for. */
  forget(blocks: ReadonlySet<number>): void {
    for (const key of this.#read.keys()) if (blocks.has(Math.floor(key / BLOCK_KEYS))) this.#read.delete(key);
  }

  #forgetOldest(): void {
    const [oldest] = this.#read.keys();
    if (oldest !== undefined) this.#read.delete(oldest);
  }

  #open(term: number, event: number): MemberSet {
    const key = Math.floor(event / BLOCK_EVENTS) * BLOCK_KEYS + term;
    const known = this.#sets.get(key);
    this.#dirty.add(key);
    if (known !== undefined) return known;
    const members = this.#get.get(key)?.members;
    const set = new MemberSet(members instanceof Uint8Array ? members : undefined);
    this.#sets.set(key, set);
    return set;
  }
}
