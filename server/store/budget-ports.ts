/**
 * Budgets in the state store: what may be used, which an owner or operator sets, and what was used.
 *
 * What was used is saved as an upper bound: it already counts what is under way, so that a crash can only leave less than
 * there was.
 */
import type { Amount, Bucket, BudgetLimits, BudgetWindow } from "@trustwarden/core/gateway/budget.ts";
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

/** What one of the servers that share the store used and holds of one budget. */
export interface BudgetShareRow {
  readonly subjectId: string;
  readonly window: BudgetWindow;
  readonly server: string;
  readonly buckets: readonly Bucket[];
}

/** What others used and hold of one budget. */
export interface SharedUse {
  /** Several may be of one time. */
  readonly others: readonly Bucket[];
  /** Whether there is a row of the server itself. */
  readonly hasOwn: boolean;
}

/** What one server used, and what room it asks for. */
export interface ShareBudgetUse {
  /** Of this process alone. */
  readonly server: string;
  /** Unix seconds. */
  readonly now: number;
  readonly rows: readonly {
    readonly subjectId: string;
    readonly window: BudgetWindow;
    readonly limits: BudgetLimits;
    /** By calls that are over; a fact, whatever is left. */
    readonly used: readonly Bucket[];
    /** For calls that were let in. */
    readonly firm: Amount;
    /** In all, with what is firm. */
    readonly asked: Amount;
    /** Whether this server has a row. */
    readonly isKnown: boolean;
  }[];
  /** Of instances that have ended: nobody has use of them. */
  readonly ended: readonly { readonly subjectId: string; readonly window: BudgetWindow }[];
}

/** Which servers there are. */
export interface FoldBudgetShares {
  readonly servers: readonly string[];
  /** Unix seconds. */
  readonly now: number;
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
  /** Value: what this server holds of each; null for one whose row is gone. Leaves nothing in the ledger either. */
  shareBudgetUse(command: ShareBudgetUse): Promise<readonly (Amount | null)[]>;
  /** What servers held that are no more counts as used from now on. */
  foldBudgetShares(command: FoldBudgetShares): Promise<void>;
}

export interface BudgetReads {
  /** Every budget that limits something. */
  listBudgets(): readonly BudgetState[];
  listBudgetUse(): readonly BudgetUseRow[];
  listBudgetShares(): readonly BudgetShareRow[];
  /** Of one budget, as one of several servers finds it. */
  useOfOthers(of: Pick<BudgetShareRow, "subjectId" | "window" | "server">): SharedUse;
}
