/**
 * Budgets in the state store: what may be used, which an owner or operator sets, and what was used.
 *
 * What was used is saved as an upper bound: it already counts what is under way, so that a crash can only leave less than
 * there was.
 */
import type { BudgetLimits, BudgetWindow } from "@trustwarden/core/gateway/budget.ts";
import type { CommandContext, Committed } from "./ports.ts";

/** Whom a budget is for: an owner, an agent with all its instances, or one instance; each with all below it. */
export interface BudgetSubject {
  readonly kind: "owner" | "agent" | "instance";
  readonly id: string;
}

export interface BudgetState {
  readonly subject: BudgetSubject;
  readonly window: BudgetWindow;
  readonly limits: BudgetLimits;
  /** Unix seconds. */
  readonly setAt: number;
}

/** What was used of one budget; `buckets` as `core/gateway/budget.ts` writes them, null to forget the row. */
export interface BudgetUseRow {
  readonly subjectId: string;
  readonly window: BudgetWindow;
  readonly buckets: string | null;
}

export interface SetBudgetCommand {
  readonly context: CommandContext;
  readonly subject: BudgetSubject;
  readonly window: BudgetWindow;
  /** All null: no budget any more. */
  readonly limits: BudgetLimits;
}

export interface BudgetCommands {
  /** Value: the budget. @throws TrustWardenError `not_found`, `quota_exceeded`. */
  setBudget(command: SetBudgetCommand): Promise<Committed<BudgetState>>;
  /** Leaves nothing in the ledger: each call is there itself. */
  saveBudgetUse(rows: readonly BudgetUseRow[]): Promise<void>;
}

export interface BudgetReads {
  /** Every budget that limits something. */
  listBudgets(): readonly BudgetState[];
  listBudgetUse(): readonly BudgetUseRow[];
}
