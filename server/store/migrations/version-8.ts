/**
 * Version 8. Each area adds its tables in a file of its own (`version-8-<area>.ts`), in the dialect that SQLite and
 * PostgreSQL share: no `rowid`, no function of one of them, truth values as 0 and 1.
 */
import type { MigrationStep } from "./steps.ts";
import { CLAIM_CODES_TABLE } from "./version-8-claims.ts";
import { CONFIRMATION_SALT } from "./version-8-confirmations.ts";
import { REPLICA_TABLES } from "./version-8-replicas.ts";

const TABLES = [CLAIM_CODES_TABLE, CONFIRMATION_SALT, REPLICA_TABLES].join("\n");

/** The step from version 7. What servers that share a store have beside its tables is in `postgres-state/sharing-schema.ts`. */
export const VERSION_8: MigrationStep = {
  version: 8,
  phase: "expand",
  sql: TABLES,
  widens: [],
  retires: [],
};
