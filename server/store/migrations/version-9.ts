/**
 * Version 9. Each area adds its tables in a file of its own (`version-9-<area>.ts`), in the dialect that SQLite and
 * PostgreSQL share: no `rowid`, no function of one of them, truth values as 0 and 1.
 *
 * Servers of version 8 work on while it is brought in (docs/decisions/0101), and such a server reads each row as it knows
 * it: no column is added to a table of before, and nothing new refers to one whose rows it may take away.
 */
import type { MigrationStep } from "./steps.ts";
import { BUDGET_SHARES_TABLE } from "./version-9-budgets.ts";

const TABLES = [BUDGET_SHARES_TABLE].join("\n");

/** The step from version 8. What servers that share a store have beside its tables is in `postgres-state/sharing-schema.ts`. */
export const VERSION_9: MigrationStep = {
  version: 9,
  phase: "expand",
  sql: TABLES,
  widens: [],
  retires: [],
};
