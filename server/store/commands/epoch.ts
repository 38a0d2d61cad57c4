/** The epoch: the number of the latest revocation or narrowing; only rises, and each number names what it stopped. */
import type { FeedTarget } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";

const READ = "SELECT COALESCE(MAX(epoch), 0) AS epoch FROM feed";
const ADVANCE = "INSERT INTO feed (epoch, kind, id) VALUES (?, ?, ?)";
const DATE = "INSERT INTO revocations (epoch, revoked_at) VALUES (?, ?)";

/** The latest epoch; 0 before the first. */
export function readEpoch(database: SqliteDatabase): number {
  return database.get(READ)?.integer("epoch") ?? 0;
}

/** Takes the next epoch for a target and returns it. */
export function advanceEpoch(database: SqliteDatabase, target: Pick<FeedTarget, "kind" | "id">): number {
  const epoch = readEpoch(database) + 1;
  database.run(ADVANCE, epoch, target.kind, target.id);
  return epoch;
}

/** Keeps when an epoch ended identities, for lists that name the moment. @param end.at - Unix seconds. */
export function dateEpoch(
  database: SqliteDatabase,
  { epoch, at }: { readonly epoch: number; readonly at: number },
): void {
  database.run(DATE, epoch, at);
}
