/**
 * One budget's account: what was used of it, what is under way, and how much of both is known to be on disk.
 *
 * @see budgets.ts
 */
import {
  type Amount,
  addAmounts,
  type BudgetLimits,
  BudgetUse,
  type BudgetWindow,
  formatBuckets,
  isUnlimited,
  MEASURES,
  type Measure,
  NOTHING,
  parseBuckets,
  subtractAmounts,
} from "@trustwarden/core/gateway/budget.ts";
import type { BudgetUseRow } from "../store/budget-ports.ts";

/** What is saved ahead of need: this part of each limit. A crash loses at most so much. */
const AHEAD = 1 / 100;

/** One save under way. */
interface Save {
  readonly row: BudgetUseRow;
  readonly covered: Amount;
}

/**
 * Owns one account.
 *
 * `#net` is what was ever taken less what was given back; `#covered` is the largest `#net` that the disk vouches for. Both
 * count from the start of the process and never expire, so comparing them needs no clock.
 */
export class BudgetAccount {
  readonly subjectId: string;
  readonly window: BudgetWindow;
  limits: BudgetLimits;
  /** Micro-USD of the ticket or grant that the instance was made with. */
  ticketUnits: number | null = null;
  /** Unix seconds when the instance ends; null for accounts that stay. */
  endsAt: number | null = null;
  /** Whether anything was ever charged by this process. */
  isTouched = false;
  readonly #use: BudgetUse;
  #open: Amount = NOTHING;
  #net: Amount = NOTHING;
  #covered: Amount = NOTHING;

  constructor(parts: {
    readonly subjectId: string;
    readonly window: BudgetWindow;
    readonly limits: BudgetLimits;
    readonly saved: string | undefined;
  }) {
    const { subjectId, window, limits, saved } = parts;
    this.subjectId = subjectId;
    this.window = window;
    this.limits = limits;
    this.#use = new BudgetUse(window, saved === undefined ? [] : parseBuckets(saved));
  }

  /** The limits that were set, and the ticket's. */
  effectiveLimits(): BudgetLimits {
    if (this.ticketUnits === null) return this.limits;
    return { ...this.limits, microUsd: Math.min(this.ticketUnits, this.limits.microUsd ?? this.ticketUnits) };
  }

  isUnlimited(): boolean {
    return isUnlimited(this.effectiveLimits());
  }

  isIdle(): boolean {
    return this.#open.calls === 0;
  }

  state(now: number): { readonly used: Amount; readonly open: Amount } {
    return { used: this.#use.total(now), open: this.#open };
  }

  used(now: number): Amount {
    return addAmounts(this.#use.total(now), this.#open);
  }

  secondsToForget(now: number): number | null {
    return this.#use.secondsToForget(now);
  }

  open(amount: Amount): void {
    this.isTouched = true;
    this.#open = addAmounts(this.#open, amount);
    this.#net = addAmounts(this.#net, amount);
  }

  /** Ends what was opened with `amount`, and charges what was really used. */
  close(amount: Amount, charged: Amount, now: number): void {
    this.#open = subtractAmounts(this.#open, amount);
    this.#net = addAmounts(subtractAmounts(this.#net, amount), charged);
    this.#use.add(charged, now);
  }

  /** Whether the disk already counts everything that calls were let in with. */
  isCovered(): boolean {
    return MEASURES.every((measure) => this.#covered[measure] >= this.#net[measure]);
  }

  /** What to write now, a little ahead of need. */
  prepareSave(now: number): Save {
    const limits = this.effectiveLimits();
    const used = this.used(now);
    const ahead: Record<Measure, number> = { ...NOTHING };
    for (const measure of MEASURES) {
      const limit = limits[measure];
      if (limit !== null)
        ahead[measure] = Math.max(0, Math.min(Math.floor(limit * AHEAD), limit - used[measure]));
    }
    return { row: this.rowOf(addAmounts(this.#open, ahead), now), covered: addAmounts(this.#net, ahead) };
  }

  /** The save is on disk. */
  confirm({ covered }: Save): void {
    this.#covered = covered;
  }

  /** @param open - to count as used. */
  rowOf(open: Amount, now: number): BudgetUseRow {
    const buckets = formatBuckets(this.#use.snapshot(open, now));
    return { subjectId: this.subjectId, window: this.window, buckets };
  }
}
