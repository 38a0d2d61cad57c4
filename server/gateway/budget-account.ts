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
import type { BudgetUseRow, ShareBudgetUse, SharedUse } from "../store/budget-ports.ts";

/** What is saved ahead of need: this part of each limit. A crash loses at most so much. */
const AHEAD = 1 / 100;

/** One save under way. */
interface Save {
  readonly row: BudgetUseRow;
  readonly covered: Amount;
}

/** One save under way of a server that shares the store. */
export interface ShareSave {
  readonly row: ShareBudgetUse["rows"][number];
  /** What was ever taken less what is open: what the row has besides what it holds. */
  readonly settled: Amount;
  readonly life: number;
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
  #use: BudgetUse;
  /** What others used and hold, where several servers share the store. */
  #others: BudgetUse;
  /** Whether this server has a row beside those of others. */
  #isKnown = false;
  /** Counts how often this server began anew. */
  #life = 0;
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
    this.#others = new BudgetUse(window);
  }

  /** Takes note of what others used and hold, and begins anew where this server was taken for dead: its use is theirs then. */
  follow({ others, hasOwn }: SharedUse): void {
    this.#others = new BudgetUse(this.window, others);
    if (this.#isKnown && !hasOwn) this.#restart();
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
    return { used: addAmounts(this.#use.total(now), this.#others.total(now)), open: this.#open };
  }

  used(now: number): Amount {
    const { used, open } = this.state(now);
    return addAmounts(used, open);
  }

  secondsToForget(now: number): number | null {
    const own = this.#use.secondsToForget(now);
    const others = this.#others.secondsToForget(now);
    return own === null || others === null ? (own ?? others) : Math.min(own, others);
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
    const ahead = this.#ahead(now);
    return { row: this.rowOf(addAmounts(this.#open, ahead), now), covered: addAmounts(this.#net, ahead) };
  }

  /**
   * What to write now beside what others hold: a little ahead of need where a call waits, and nothing ahead where none does, so
   * that others have it.
   */
  prepareShare(now: number): ShareSave {
    const { subjectId, window } = this;
    const isNeeded = !this.isCovered();
    const asked = isNeeded ? addAmounts(this.#open, this.#ahead(now)) : this.#open;
    const settled = subtractAmounts(this.#net, this.#open);
    const firm: Record<Measure, number> = { ...NOTHING };
    const covered: Record<Measure, number> = { ...NOTHING };
    for (const measure of MEASURES) {
      const waiting = Math.max(0, this.#net[measure] - this.#covered[measure]);
      firm[measure] = Math.max(0, this.#open[measure] - waiting);
      // Nobody is let in meanwhile by what is given back.
      covered[measure] = Math.min(this.#covered[measure], settled[measure] + asked[measure]);
    }
    this.#covered = covered;
    const { limits, used } = { limits: this.effectiveLimits(), used: this.#use.snapshot(NOTHING, now) };
    return {
      row: { subjectId, window, limits, used, firm, asked, isKnown: this.#isKnown },
      settled,
      life: this.#life,
    };
  }

  /** What this server holds now; null where others took it for dead, and what it had used counts as theirs. */
  confirmShare({ settled, life }: ShareSave, held: Amount | null): void {
    if (life !== this.#life) return;
    if (held === null) {
      this.#restart();
      return;
    }
    this.#isKnown = true;
    this.#covered = addAmounts(settled, held);
  }

  #restart(): void {
    this.#life += 1;
    this.#isKnown = false;
    this.#use = new BudgetUse(this.window);
    this.#net = this.#open;
    this.#covered = NOTHING;
  }

  #ahead(now: number): Amount {
    const limits = this.effectiveLimits();
    const used = this.used(now);
    const ahead: Record<Measure, number> = { ...NOTHING };
    for (const measure of MEASURES) {
      const limit = limits[measure];
      if (limit !== null)
        ahead[measure] = Math.max(0, Math.min(Math.floor(limit * AHEAD), limit - used[measure]));
    }
    return ahead;
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
