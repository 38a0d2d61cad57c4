/**
 * When each block of events was last written, so that who reads a growing file forgets of it what has changed and no more: of ten
 * million events that is one block of 153, or a few.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { BLOCK_EVENTS } from "./members.ts";

/** Files of before it get it when they are opened; whatever was written until then was read after it. */
export const CHANGED_BLOCKS_SCHEMA = `
  CREATE TABLE IF NOT EXISTS changed_blocks (block INTEGER PRIMARY KEY, size INTEGER NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS changed_blocks_size ON changed_blocks (size);
`;

/** Owns no rows, only the statements. */
export class ChangedBlocks {
  readonly #put: StatementSync;
  readonly #since: StatementSync;

  constructor(database: DatabaseSync) {
    this.#put = database.prepare("INSERT OR REPLACE INTO changed_blocks (block, size) VALUES (?, ?)");
    this.#since = database.prepare("SELECT block FROM changed_blocks WHERE size > ?");
  }

  /** @param size - of the file with these events, in entries; each batch has a larger one. */
  note(events: Iterable<number>, size: number): void {
    for (const block of new Set([...events].map((event) => Math.floor(event / BLOCK_EVENTS))))
      this.#put.run(block, size);
  }

  /** The blocks that were written after the file had a size. */
  since(size: number): ReadonlySet<number> {
    return new Set(this.#since.all(size).map(({ block }) => Number(block)));
  }
}
