/**
 * Room of budgets for servers that share a store: each has a row of what it used and holds of a budget, and takes more only where
 * the rows of all of them together leave it, in the transaction that the others see.
 *
 * A server says what its row is to be, and not what changes in it: said twice it is the same, also where nobody heard whether the
 * first time was kept. What a server held that is no more stands as used, since nobody knows better; so nothing is ever spent
 * twice, and what is lost by a killed server is what it held.
 *
 * @see docs/decisions/0102
 */
import {
  type Amount,
  addAmounts,
  type Bucket,
  BudgetUse,
  type BudgetWindow,
  formatBuckets,
  MEASURES,
  type Measure,
  NOTHING,
  parseBuckets,
} from "@trustwarden/core/gateway/budget.ts";
import type { BudgetShareRow, FoldBudgetShares, ShareBudgetUse } from "../budget-ports.ts";
import { listBudgetShares, useOfOthers } from "../budget-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";

const FIND_OWN = "SELECT buckets FROM budget_shares WHERE subject_id = ? AND window = ? AND server = ?";
const SAVE_OWN = `
  INSERT INTO budget_shares (subject_id, window, server, buckets) VALUES (?, ?, ?, ?)
  ON CONFLICT (subject_id, window, server) DO UPDATE SET buckets = excluded.buckets`;
const FORGET = [
  "DELETE FROM budget_shares WHERE subject_id = ? AND window = ?",
  "DELETE FROM budget_use WHERE subject_id = ? AND window = ?",
];
const REMOVE = "DELETE FROM budget_shares WHERE subject_id = ? AND window = ? AND server = ?";
const SAVE_USE = `
  INSERT INTO budget_use (subject_id, window, buckets) VALUES (?, ?, ?)
  ON CONFLICT (subject_id, window) DO UPDATE SET buckets = excluded.buckets`;
const FIND_USE = "SELECT buckets FROM budget_use WHERE subject_id = ? AND window = ?";
const FIND_END = "SELECT expires_at FROM instances WHERE instance_id = ?";

/**
 * Writes what one server used, and gives it room as far as there is any.
 *
 * @returns what it holds of each budget from now on; null for one whose row is gone, as of a server that was taken for dead.
 */
export function shareBudgetUse(
  database: SqliteDatabase,
  { server, now, rows, ended }: ShareBudgetUse,
): readonly (Amount | null)[] {
  for (const { subjectId, window } of ended) forgetUse(database, subjectId, window);
  return rows.map((row) => {
    const { subjectId, window } = row;
    const kept = database.get(FIND_OWN, subjectId, window, server)?.text("buckets");
    if (row.isKnown && kept === undefined) return null;
    const own = new BudgetUse(window, row.used);
    const { others: buckets } = useOfOthers(database, { subjectId, window, server });
    const others = new BudgetUse(window, buckets);
    const taken = addAmounts(own.total(now), others.total(now));
    const held = roomOf(row, taken);
    const text = formatBuckets(own.snapshot(held, now));
    if (text !== kept) database.run(SAVE_OWN, subjectId, window, server, text);
    return held;
  });
}

/** What calls were let in with stays, whatever else was used meanwhile; of what is asked for besides, what is left. */
function roomOf({ limits, firm, asked }: ShareBudgetUse["rows"][number], taken: Amount): Amount {
  const held: Record<Measure, number> = { ...NOTHING };
  for (const measure of MEASURES) {
    const limit = limits[measure];
    const left = limit === null ? asked[measure] : limit - taken[measure];
    held[measure] = Math.max(firm[measure], Math.min(asked[measure], left));
  }
  return held;
}

/** Adds the rows of servers that are no more to what was used; those of instances that have ended go. */
export function foldBudgetShares(database: SqliteDatabase, { servers, now }: FoldBudgetShares): null {
  for (const row of listBudgetShares(database)) {
    if (servers.includes(row.server)) continue;
    const { subjectId, window, server } = row;
    database.run(REMOVE, subjectId, window, server);
    if (!isEnded(database, subjectId, now)) addToUse(database, row, now);
    else forgetUse(database, subjectId, window);
  }
  return null;
}

/** A budget that is taken away forgets what was used of it, by whichever server. */
export function forgetUse(database: SqliteDatabase, subjectId: string, window: BudgetWindow): void {
  for (const forget of FORGET) database.run(forget, subjectId, window);
}

function addToUse(
  database: SqliteDatabase,
  { subjectId, window, buckets }: BudgetShareRow,
  now: number,
): void {
  const before = database.get(FIND_USE, subjectId, window)?.text("buckets");
  const all: readonly Bucket[] = [...(before === undefined ? [] : parseBuckets(before)), ...buckets];
  const sums = new Map<number, Bucket>();
  for (const bucket of all) {
    const sum = sums.get(bucket.at) ?? { at: bucket.at, ...NOTHING };
    sums.set(bucket.at, { at: bucket.at, ...addAmounts(sum, bucket) });
  }
  const use = new BudgetUse(window, [...sums.values()]);
  database.run(SAVE_USE, subjectId, window, formatBuckets(use.snapshot(NOTHING, now)));
}

/** An instance without a row was removed long after its end. */
function isEnded(database: SqliteDatabase, subjectId: string, now: number): boolean {
  if (!subjectId.startsWith("inst-")) return false;
  const endsAt = database.get(FIND_END, subjectId)?.integer("expires_at");
  return endsAt === undefined || endsAt <= now;
}
