/**
 * A lock on a directory that the operating system gives back when its holder dies, however it dies.
 *
 * An open exclusive SQLite transaction holds the lock: the kernel drops it with the process, so there is no stale pid
 * to judge, and SQLite also sees a second holder in the same process. The database stays empty.
 */
import { DatabaseSync } from "node:sqlite";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** A held lock. */
export interface PosixLock {
  /** Gives the lock back. */
  release(): void;
}

/**
 * Takes the lock at once or not at all.
 *
 * @param path - file of the lock; made when missing, never removed.
 * @throws TrustWardenError `data_locked` while anybody else holds it.
 */
export function acquirePosixLock(path: string): PosixLock {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    throw new TrustWardenError("data_locked", { path }, { cause });
  }
  return {
    release: () => {
      database.close();
    },
  };
}
