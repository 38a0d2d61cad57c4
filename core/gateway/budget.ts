/**
 * Budgets in calls, tokens and money: what was used in a window of time, and whether a call still fits.
 *
 * Pure arithmetic over one account; which accounts a call is charged to, and what of this is on disk, is the business of the
 * server. Money is counted in whole micro-USD, and every rounding is upwards.
 *
 * @see docs/decisions/0022-model-calls.md
 */
import { TrustWardenError } from "../error.ts";

/** `lifetime` never forgets; the others look back that far at every moment. */
export const BUDGET_WINDOWS = ["lifetime", "day", "hour"] as const;
export type BudgetWindow = (typeof BUDGET_WINDOWS)[number];

/** What a budget limits. */
export const MEASURES = ["calls", "tokens", "microUsd"] as const;
export type Measure = (typeof MEASURES)[number];

/** An amount in each measure; never negative. */
export type Amount = Readonly<Record<Measure, number>>;
/** Null: not limited. */
export type BudgetLimits = Readonly<Record<Measure, number | null>>;

/** What a call may cost at most; infinite where nothing bounds it. */
export interface CostBound {
  readonly tokens: number;
  /** Null when nobody knows its price. */
  readonly microUsd: number | null;
}

export const NOTHING: Amount = { calls: 0, tokens: 0, microUsd: 0 };

/** Seconds that one bucket of a window spans, and how many of them the window has. */
const BUCKETS: Readonly<Record<BudgetWindow, { readonly seconds: number; readonly count: number }>> = {
  lifetime: { seconds: Number.POSITIVE_INFINITY, count: 1 },
  day: { seconds: 1800, count: 48 },
  hour: { seconds: 60, count: 60 },
};

/** Use in one span of a window: its number since the epoch, and the amount. */
export interface Bucket extends Amount {
  readonly at: number;
}

/** Why a call does not fit. */
export interface Shortage {
  readonly measure: Measure;
  /** Seconds until something is forgotten again; null when waiting does not help. */
  readonly retryAfterSeconds: number | null;
}

/** Owns the use of one budget. `total` is always the sum of its buckets. */
export class BudgetUse {
  readonly #window: BudgetWindow;
  #buckets: Bucket[];

  /** @param buckets - as `snapshot` gave them, in any order. */
  constructor(window: BudgetWindow, buckets: readonly Bucket[] = []) {
    this.#window = window;
    this.#buckets = buckets.toSorted((a, b) => a.at - b.at);
  }

  /** What counts against the limits now. @param now - Unix seconds. */
  total(now: number): Amount {
    this.#forget(now);
    return this.#buckets.reduce<Amount>((sum, bucket) => addAmounts(sum, bucket), NOTHING);
  }

  add(amount: Amount, now: number): void {
    const at = bucketAt(this.#window, now);
    const index = this.#buckets.findIndex((bucket) => bucket.at === at);
    const known = this.#buckets[index];
    if (known === undefined) this.#buckets.push({ at, ...pick(amount) });
    else this.#buckets[index] = { at, ...addAmounts(known, amount) };
  }

  /** Every bucket that counts, with what is still open added to the present one. */
  snapshot(open: Amount, now: number): readonly Bucket[] {
    this.#forget(now);
    const copy = new BudgetUse(this.#window, this.#buckets);
    copy.add(open, now);
    return copy.#buckets;
  }

  /** Seconds until the oldest use is forgotten. */
  secondsToForget(now: number): number | null {
    const oldest = this.#buckets[0];
    if (this.#window === "lifetime" || oldest === undefined) return null;
    const { seconds, count } = BUCKETS[this.#window];
    return Math.max(1, (oldest.at + count) * seconds - now);
  }

  #forget(now: number): void {
    const first = bucketAt(this.#window, now) - BUCKETS[this.#window].count + 1;
    // Time that was set back leaves buckets of the future; they count until it has caught up.
    this.#buckets = this.#buckets.filter(({ at }) => at >= first);
  }
}

/**
 * What a call takes of a budget, or why it takes nothing.
 *
 * Where less is left than a call may cost at most, it takes all of it: the budget can then be overdrawn by this one call,
 * and no other is let in beside it. A call itself is never overdrawn, since its price is known.
 */
export function takeFrom(
  parts: {
    readonly limits: BudgetLimits;
    readonly used: Amount;
    readonly open: Amount;
  },
  asked: Amount,
): { readonly taken: Amount } | { readonly short: Measure } {
  const taken: Record<Measure, number> = { ...NOTHING };
  for (const measure of MEASURES) {
    const limit = parts.limits[measure];
    const left =
      limit === null ? Number.POSITIVE_INFINITY : limit - parts.used[measure] - parts.open[measure];
    // A call that costs nothing in a measure is not stopped by it.
    if (asked[measure] > 0 && left <= 0) return { short: measure };
    const amount = Math.min(asked[measure], Math.max(0, left));
    // Unlimited in every respect: nobody compares it with anything.
    taken[measure] = Number.isFinite(amount) ? amount : 0;
  }
  return { taken };
}

export function addAmounts(a: Amount, b: Amount): Amount {
  return { calls: a.calls + b.calls, tokens: a.tokens + b.tokens, microUsd: a.microUsd + b.microUsd };
}

export function subtractAmounts(a: Amount, b: Amount): Amount {
  return { calls: a.calls - b.calls, tokens: a.tokens - b.tokens, microUsd: a.microUsd - b.microUsd };
}

/** Whether nothing is limited. */
export function isUnlimited(limits: BudgetLimits): boolean {
  return MEASURES.every((measure) => limits[measure] === null);
}

/** Buckets from text that `formatBuckets` wrote. @throws TrustWardenError `store_unavailable` for anything else. */
export function parseBuckets(text: string): readonly Bucket[] {
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) throw unreadable();
  return parsed.map((row: unknown) => {
    if (!Array.isArray(row) || row.length !== 4 || !row.every(isCount)) throw unreadable();
    const [at = 0, calls = 0, tokens = 0, microUsd = 0] = row;
    return { at, calls, tokens, microUsd };
  });
}

export function formatBuckets(buckets: readonly Bucket[]): string {
  return JSON.stringify(buckets.map(({ at, calls, tokens, microUsd }) => [at, calls, tokens, microUsd]));
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function unreadable(): TrustWardenError {
  return new TrustWardenError("store_unavailable", { reason: "budget" });
}

function bucketAt(window: BudgetWindow, now: number): number {
  const { seconds } = BUCKETS[window];
  return Number.isFinite(seconds) ? Math.floor(now / seconds) : 0;
}

function pick({ calls, tokens, microUsd }: Amount): Amount {
  return { calls, tokens, microUsd };
}
