/**
 * The tables of the state store in PostgreSQL's words: the one place where the two dialects differ.
 *
 * Text compares by bytes, as in SQLite. References and uniqueness are looked at when a transaction ends, because changes
 * arrive table by table and not in the order in which they were made; nothing cascades, because what cascaded in the
 * transaction that made the changes is among them.
 */
import { statementsOf } from "../migrations/rules.ts";
import type { MigrationStep, Migrations } from "../migrations/steps.ts";

const TYPES: Readonly<Record<string, string>> = {
  TEXT: 'text COLLATE "C"',
  INTEGER: "bigint",
  BLOB: "bytea",
};
const LATER = "DEFERRABLE INITIALLY DEFERRED";
/** Names of columns that PostgreSQL keeps for itself. */
const RESERVED = /\b(window|only|user|end|order|limit|offset|grant|analyze|array)\b/g;

/** The statements that make every table of the latest version, for a schema that the search path names. */
export function tablesOf({ base, steps }: Migrations): readonly string[] {
  return [...statementsOf(base.sql).map(translate), ...steps.flatMap(statementsOfStep)];
}

/** The statements of one step. */
export function statementsOfStep({ sql, widens }: MigrationStep): readonly string[] {
  const widened = widens.map(
    ({ table, column, check }) =>
      `ALTER TABLE ${table} DROP CONSTRAINT ${table}_${column}_check, ADD CONSTRAINT ${table}_${column}_check ${check}`,
  );
  return [...statementsOf(sql).map(translate), ...widened];
}

function translate(statement: string): string {
  return statement
    .replace(/\) STRICT(?:, WITHOUT ROWID)?$/, ")")
    .replace(/ AUTOINCREMENT\b/g, "")
    .replace(/ ON DELETE CASCADE\b/g, "")
    .replace(/\b(?:TEXT|INTEGER|BLOB)\b/g, (type) => TYPES[type] ?? type)
    .replace(/(REFERENCES \w+ \([^)]*\))/g, `$1 ${LATER}`)
    .replace(/(?<!CREATE )\bUNIQUE\b( \([^)]*\))?/g, `UNIQUE$1 ${LATER}`)
    .replace(RESERVED, '"$1"');
}
