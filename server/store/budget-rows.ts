/** Budgets as rows: read alike by the command and by the plain reads. */
import { BUDGET_WINDOWS, type BudgetWindow, parseBuckets } from "@trustwarden/core/gateway/budget.ts";
import type { BudgetShareRow, BudgetState, BudgetUseRow, SharedUse } from "./budget-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const KINDS = ["owner", "agent", "instance"] as const;

const LIST = "SELECT * FROM budgets ORDER BY subject_id, window";
const LIST_USE = "SELECT * FROM budget_use ORDER BY subject_id, window";
const LIST_SHARES = "SELECT * FROM budget_shares ORDER BY subject_id, window, server";
const LIST_ALL = `
  SELECT '' AS server, buckets FROM budget_use WHERE subject_id = ? AND window = ?
  UNION ALL SELECT server, buckets FROM budget_shares WHERE subject_id = ? AND window = ?`;

/** Every budget. */
export function listBudgets(database: SqliteDatabase): readonly BudgetState[] {
  return database.all(LIST).map(parseBudget);
}

/** What was used, of everybody. */
export function listBudgetUse(database: SqliteDatabase): readonly BudgetUseRow[] {
  return database.all(LIST_USE).map((row) => ({
    subjectId: row.text("subject_id"),
    window: parseWindow(row),
    buckets: row.text("buckets"),
  }));
}

/** What each of several servers used and holds. */
export function listBudgetShares(database: SqliteDatabase): readonly BudgetShareRow[] {
  return database.all(LIST_SHARES).map((row) => ({
    subjectId: row.text("subject_id"),
    window: parseWindow(row),
    server: row.text("server"),
    buckets: parseBuckets(row.text("buckets")),
  }));
}

/** @see `BudgetReads.useOfOthers` */
export function useOfOthers(
  database: SqliteDatabase,
  { subjectId, window, server }: Pick<BudgetShareRow, "subjectId" | "window" | "server">,
): SharedUse {
  const rows = database.all(LIST_ALL, subjectId, window, subjectId, window);
  const isOwn = (row: Row): boolean => row.text("server") === server;
  return {
    others: rows.filter((row) => !isOwn(row)).flatMap((row) => parseBuckets(row.text("buckets"))),
    hasOwn: rows.some(isOwn),
  };
}

function parseBudget(row: Row): BudgetState {
  const kind = KINDS.find((known) => known === row.text("kind"));
  if (kind === undefined) throw new Error("the table admits known kinds only");
  return {
    subject: { kind, id: row.text("subject_id") },
    window: parseWindow(row),
    limits: {
      calls: row.integerOrNull("calls"),
      tokens: row.integerOrNull("tokens"),
      microUsd: row.integerOrNull("micro_usd"),
    },
    setAt: row.integer("set_at"),
  };
}

function parseWindow(row: Row): BudgetWindow {
  const window = BUDGET_WINDOWS.find((known) => known === row.text("window"));
  if (window === undefined) throw new Error("the table admits known windows only");
  return window;
}
