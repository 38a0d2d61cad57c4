/**
 * Version 7. Each area adds its tables in a file of its own (`version-7-<area>.ts`), in the dialect that SQLite and
 * PostgreSQL share: no `rowid`, no function of one of them, truth values as 0 and 1.
 */
import type { MigrationStep } from "./steps.ts";
import { ORGANIZATION_COLUMNS } from "./version-7-organizations.ts";
import { REGISTRATION_INDEXES } from "./version-7-registration.ts";

const TABLES = [REGISTRATION_INDEXES, ORGANIZATION_COLUMNS].join("\n");

/** The step from version 6. What servers that share a store have beside its tables is in `postgres-state/schema-text.ts`. */
export const VERSION_7: MigrationStep = {
  version: 7,
  phase: "expand",
  sql: TABLES,
  widens: [],
  retires: [],
};
