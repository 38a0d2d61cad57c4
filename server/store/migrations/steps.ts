/**
 * The versions of the state store: what it began with, and one step for each version since.
 *
 * Steps expand or contract. A step that expands only adds (tables, indexes, nullable columns, wider checks), so that the
 * version before it could go on with its tables; what it makes superfluous it names in `retires`. A step that contracts
 * takes away only what an earlier version retired. `rules.ts` says so of every step, and a test asks it. A published step
 * never changes: a new store is made by the same steps as an old one is brought up by.
 *
 * @see docs/storage.md; docs/decisions/0045
 */
import { VERSION_4 } from "./version-4.ts";
import { VERSION_5 } from "./version-5.ts";
import { VERSION_6 } from "./version-6.ts";
import { VERSION_7 } from "./version-7.ts";
import { VERSION_8 } from "./version-8.ts";
import { VERSION_9 } from "./version-9.ts";

/** A column's check that admits more from now on. Its old check stands in the same column of the table before. */
interface WidenedCheck {
  readonly table: string;
  readonly column: string;
  /** The whole constraint, as it stands after the column's type. */
  readonly check: string;
}

/** One version's change. */
export interface MigrationStep {
  readonly version: number;
  readonly phase: "expand" | "contract";
  /** Statements of the dialect that all stores share, each ended by a semicolon. */
  readonly sql: string;
  readonly widens: readonly WidenedCheck[];
  /** `table` or `table.column`: no longer written from this version on, and gone in a later one. */
  readonly retires: readonly string[];
}

/** The tables at the beginning, and the steps from there, without gaps. */
export interface Migrations {
  readonly base: { readonly version: number; readonly sql: string };
  readonly steps: readonly MigrationStep[];
}

/** Of this server. */
export const MIGRATIONS: Migrations = {
  base: { version: 4, sql: VERSION_4 },
  steps: [VERSION_5, VERSION_6, VERSION_7, VERSION_8, VERSION_9],
};

/** The version that a server with these migrations works on. */
export function latestVersion({ base, steps }: Migrations): number {
  return steps.at(-1)?.version ?? base.version;
}
