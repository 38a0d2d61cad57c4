/**
 * What of the latest version waits until the store is settled: while servers of the version before are at work, a rule that rests on
 * a new table would hold at some of the servers only.
 *
 * Everything that the latest step adds waits, unless it is named here with why it need not. A group that uses it all the same is
 * refused by the copy that it ran on, before the database hears of it.
 *
 * @see docs/decisions/0101
 */
import { additionsOf } from "../migrations/rules.ts";
import type { Migrations } from "../migrations/steps.ts";
import type { TableChanges } from "./changes.ts";

/** `table` or `table.column` of the latest step, and why servers of the version before need not know it. */
export const NEED_NOT_WAIT: Readonly<Record<string, string>> = {
  budget_shares:
    "servers of version 8 that share a store refuse the gateway, and nobody else spends a budget",
};

/** What the latest step adds, but for what need not wait. */
export function waitingOf({ steps }: Migrations, needNotWait = NEED_NOT_WAIT): ReadonlySet<string> {
  const latest = steps.at(-1);
  const added = latest === undefined ? [] : additionsOf(latest);
  return new Set(added.filter((name) => !Object.hasOwn(needNotWait, name)));
}

/** The first of what waits that a group uses: a row of a table, or a column that it gives a value; undefined where it uses none. */
export function findEarlyUse(
  changes: readonly TableChanges[],
  waiting: ReadonlySet<string>,
): string | undefined {
  if (waiting.size === 0) return undefined;
  const used = changes.flatMap(({ t: table, r: rows }) => [
    table,
    ...rows.flatMap((row) =>
      Object.entries(row).flatMap(([column, value]) => (value === null ? [] : [`${table}.${column}`])),
    ),
  ]);
  return used.find((name) => waiting.has(name));
}
