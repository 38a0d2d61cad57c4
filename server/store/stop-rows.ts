/** What was stopped that is no identity: jobs and policies. Never deleted; going on needs another name or version. */
import type { StopReads } from "./revocation-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

/** In the dialect of all stores; `owner_id` is empty for everybody's. */
export const STOP_TABLES = `
  CREATE TABLE stops (
    kind TEXT NOT NULL CHECK (kind IN ('job', 'policy')),
    id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (kind, id, owner_id)
  ) STRICT, WITHOUT ROWID;
`;

const STOP = "INSERT INTO stops (kind, id, owner_id, epoch) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
const FIND = "SELECT epoch FROM stops WHERE kind = ? AND id = ? AND (owner_id = '' OR owner_id = ?)";

/** @param stop.ownerId - null for everybody's. */
export function keepStop(
  database: SqliteDatabase,
  stop: {
    readonly kind: "job" | "policy";
    readonly id: string;
    readonly ownerId: string | null;
    readonly epoch: number;
  },
): void {
  database.run(STOP, stop.kind, stop.id, stop.ownerId ?? "", stop.epoch);
}

/** The reads of stops. */
export function createStopReads(database: SqliteDatabase): StopReads {
  return {
    isStopped: ({ kind, id, ownerId }) => database.get(FIND, kind, id, ownerId) !== undefined,
  };
}
