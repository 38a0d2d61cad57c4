/** Budgets as rows: read alike by the command and by the plain reads. */
import { BUDGET_WINDOWS, type BudgetWindow } from "@trustwarden/core/gateway/budget.ts";
import type { BudgetState, BudgetUseRow } from "./budget-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const KINDS = ["owner", "agent", "instance"] as const;

const LIST = "SELECT * FROM budgets ORDER BY subject_id, window";
const LIST_USE = "SELECT * FROM budget_use ORDER BY subject_id, window";

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
