/**
 * Version 6. Each table of this version is added here, in the dialect that SQLite and PostgreSQL share: no `rowid`, no
 * function of one of them, truth values as 0 and 1.
 */
import type { MigrationStep } from "./steps.ts";
import { PEOPLE_COLUMNS } from "./version-6-people.ts";

const TABLES = PEOPLE_COLUMNS;

/** The step from version 5. */
export const VERSION_6: MigrationStep = {
  version: 6,
  phase: "expand",
  sql: TABLES,
  widens: [],
  retires: [],
};
