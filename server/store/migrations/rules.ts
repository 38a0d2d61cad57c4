/**
 * What a migration may do, so that a version can be brought in while the one before still runs, and be taken back by
 * restoring a backup only: a step that expands adds what nobody has to know, one that contracts removes what nobody uses.
 */
import type { MigrationStep, Migrations } from "./steps.ts";

const CREATE_TABLE = /^CREATE TABLE (\w+) \(.*PRIMARY KEY.*\) STRICT(?:, WITHOUT ROWID)?$/s;
const CREATE_INDEX = /^CREATE (UNIQUE )?INDEX \w+ ON (\w+) \([^;]+$/s;
const ADD_COLUMN =
  /^ALTER TABLE (\w+) ADD COLUMN (\w+) (?:TEXT|INTEGER|BLOB)(?! .*\b(?:NOT NULL|DEFAULT|UNIQUE|PRIMARY)\b)/s;
const DROP_TABLE = /^DROP TABLE (\w+)$/;
const DROP_COLUMN = /^ALTER TABLE (\w+) DROP COLUMN (\w+)$/;
const DROP_INDEX = /^DROP INDEX \w+$/;
/** What only one of the stores knows, or does differently. */
const FOREIGN =
  /(?<!WITHOUT )\b(?:rowid|AUTOINCREMENT|INSERT OR|json_\w+|GLOB|COLLATE|strftime|unixepoch|IFNULL)\b/i;

/** The statements of a step, without their semicolons. */
export function statementsOf(sql: string): readonly string[] {
  return sql
    .split(";")
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}

/** A sentence for each rule that is broken; nothing for migrations that may be published. */
export function brokenRules({ base, steps }: Migrations): readonly string[] {
  const retired = new Set<string>();
  return steps.flatMap((step, index) => {
    const gap = step.version === base.version + index + 1 ? [] : [`version ${step.version} leaves a gap`];
    const broken = statementsOf(step.sql).flatMap((statement) => reproach(step, { statement, retired }));
    const widened = step.widens
      .filter(() => step.phase === "contract")
      .map(({ table }) => `${table} is widened`);
    // Only for the steps after this one: a version never drops what it retires itself.
    for (const name of step.retires) retired.add(name);
    return [...gap, ...broken, ...widened].map((text) => `version ${step.version}: ${text}`);
  });
}

/** Servers of this version and later live with the tables of the next one. */
const LIVING_SINCE = 8;
/** Servers of this version and later read rows by the names of their columns, and can so live with more of them. */
const NAMING_SINCE = 9;

/**
 * Why servers of the version before cannot work while a step is brought in, or after it; nothing where they can.
 *
 * @see docs/decisions/0101
 */
export function reasonsToStop({ version, sql, widens }: MigrationStep): readonly string[] {
  if (version <= LIVING_SINCE) return [`version ${version} is older than that`];
  const statements = statementsOf(sql);
  const made = statements.flatMap((statement) => CREATE_TABLE.exec(statement)?.[1] ?? []);
  const refersBack = (statement: string) =>
    [...statement.matchAll(/\bREFERENCES (\w+)/g)].some(([, table = ""]) => !made.includes(table));
  const reasons = statements.flatMap((statement) => {
    if (DROP_COLUMN.test(statement)) return [`rows change their form: ${statement}`];
    if (version <= NAMING_SINCE && ADD_COLUMN.test(statement)) return [`version 8 cannot read: ${statement}`];
    // The server of before may take the row away that the new one refers to, and knows of no such reference.
    return refersBack(statement) ? [`refers to rows of before: ${statement}`] : [];
  });
  return [...reasons, ...widens.map(({ table, column }) => `${table}.${column} is widened`)];
}

/** What a step adds: `table`, or `table.column` of one that was there. */
export function additionsOf({ sql }: Pick<MigrationStep, "sql">): readonly string[] {
  return statementsOf(sql).flatMap((statement) => {
    const [, table] = CREATE_TABLE.exec(statement) ?? [];
    if (table !== undefined) return [table];
    const [, of, column] = ADD_COLUMN.exec(statement) ?? [];
    return of === undefined ? [] : [`${of}.${column}`];
  });
}

function reproach(
  step: MigrationStep,
  { statement, retired }: { readonly statement: string; readonly retired: ReadonlySet<string> },
): readonly string[] {
  if (FOREIGN.test(statement)) return [`not of the shared dialect: ${statement}`];
  const isFit = step.phase === "expand" ? isAddition(step, statement) : isRemoval(statement, retired);
  return isFit ? [] : [`not for a step that ${step.phase}s: ${statement}`];
}

function isAddition({ sql }: MigrationStep, statement: string): boolean {
  if (CREATE_TABLE.test(statement) || ADD_COLUMN.test(statement)) return true;
  const [, unique, table = ""] = CREATE_INDEX.exec(statement) ?? [];
  if (table === "") return false;
  // A new rule of uniqueness would refuse what the version before writes, unless the table is new as well.
  return unique === undefined || new RegExp(`^\\s*CREATE TABLE ${table} `, "m").test(sql);
}

function isRemoval(statement: string, retired: ReadonlySet<string>): boolean {
  if (DROP_INDEX.test(statement)) return true;
  const [, table] = DROP_TABLE.exec(statement) ?? [];
  if (table !== undefined) return retired.has(table);
  const [, of, column] = DROP_COLUMN.exec(statement) ?? [];
  return of !== undefined && retired.has(`${of}.${column}`);
}
