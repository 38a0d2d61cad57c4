/**
 * Delegation: what a parent may hand to a child.
 *
 * A child is strictly less than its parent: a scope that lacks something, a life that ends no later, limits within
 * the parent's, and an unbroken line of living ancestors. Pure; the store runs it in the transaction that writes the
 * child, on the rows of that transaction, so that nothing changes between the check and the birth.
 *
 * @see ARCHITECTURE.md, "Delegation"
 */
import { TrustWardenError } from "../error.ts";
import { findCounterexample, hasWildcardVerbOrType, isStrictSubset, isSubset, type Scope } from "../scope.ts";
import { requireTtlSeconds } from "../ttl.ts";

/** A wildcard verb or type reaches what does not exist yet, so nobody can know for long what it means. */
const MAX_WILDCARD_SECONDS = 3600;

/** What an instance may do with its power to delegate. */
export interface Limits {
  /** Generations below this instance that may still be made. */
  readonly depth: number;
  /** Live direct children. */
  readonly fanOut: number;
  /** Integer units, shared with its live children; null is unlimited. */
  readonly budget: number | null;
}

/** `strict`: the child's scope lacks something. `narrowing`: it may be equal where a lifetime or a limit is smaller. */
export type DelegationMode = "strict" | "narrowing";

/** Whether one instance of the line is alive. */
export interface Lifeline {
  readonly instanceId: string;
  readonly isRevoked: boolean;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** The instance that delegates, with its line. */
export interface DelegatingParent {
  readonly scope: Scope;
  readonly limits: Limits;
  readonly expiresAt: number;
  /** From the root instance down to the parent itself; never empty. */
  readonly line: readonly Lifeline[];
}

/** What the child is to have. */
export interface DelegatedChild {
  readonly scope: Scope;
  readonly limits: Limits;
  /** As shortened by `shortenLifetime`. */
  readonly expiresAt: number;
}

/** The parent's live children besides the new one. */
export interface Siblings {
  readonly live: number;
  /** Sum of their budgets; those without one count nothing. */
  readonly budget: number;
}

/** A lifetime, cut to what the parent has left. */
export interface Lifetime {
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly isShortened: boolean;
}

/** Everything that decides a delegation. */
export interface Delegation {
  readonly parent: DelegatingParent;
  readonly child: DelegatedChild;
  readonly siblings: Siblings;
  /** Unix seconds. */
  readonly now: number;
  readonly mode: DelegationMode;
}

/**
 * When an instance ends: after its lifetime, but never after its parent. Unlike a scope, a lifetime is cut rather than
 * refused, because the parent's remaining one changes while the child asks; the cut is reported.
 *
 * @throws TrustWardenError `ttl_malformed`.
 */
export function shortenLifetime({
  ttlSeconds,
  now,
  parentExpiresAt,
}: {
  readonly ttlSeconds: number;
  readonly now: number;
  readonly parentExpiresAt: number;
}): Lifetime {
  requireTtlSeconds(ttlSeconds);
  const wanted = now + ttlSeconds;
  return wanted > parentExpiresAt
    ? { expiresAt: parentExpiresAt, isShortened: true }
    : { expiresAt: wanted, isShortened: false };
}

/**
 * Refuses a scope with a wildcard verb or type for longer than an hour; parent or no parent.
 *
 * @throws TrustWardenError `scope_wildcard_too_long_lived`.
 */
export function requireShortWildcard(child: Pick<DelegatedChild, "scope" | "expiresAt">, now: number): void {
  if (!hasWildcardVerbOrType(child.scope)) return;
  const lifetimeSeconds = child.expiresAt - now;
  if (lifetimeSeconds > MAX_WILDCARD_SECONDS) {
    throw new TrustWardenError("scope_wildcard_too_long_lived", { lifetimeSeconds });
  }
}

/**
 * Refuses a child that would be more than its parent may hand on. `details.counterexample` of a scope refusal names a
 * concrete action that the child could do and the parent could not.
 *
 * @throws TrustWardenError `ancestor_dead`, `scope_not_subset`, `scope_wildcard_too_long_lived`, `ttl_exceeds_limit`,
 *   `depth_exceeded`, `fan_out_exceeded`, `limits_not_narrower` or `budget_exceeded`.
 */
export function requireDelegable(delegation: Delegation): void {
  const { parent, child, siblings, now } = delegation;
  requireLivingLine(parent.line, now);
  requireScope(delegation);
  requireShortWildcard(child, now);
  if (child.expiresAt > parent.expiresAt) throw new TrustWardenError("ttl_exceeds_limit");
  if (parent.limits.depth < 1) throw new TrustWardenError("depth_exceeded", { depth: parent.limits.depth });
  if (siblings.live >= parent.limits.fanOut) {
    throw new TrustWardenError("fan_out_exceeded", { live: siblings.live, fanOut: parent.limits.fanOut });
  }
  requireNarrowerLimits(parent.limits, child.limits);
  requireBudget(delegation);
}

/**
 * Refuses when an instance of the line is revoked or expired. Revocation marks the whole subtree, so this also holds
 * where a mark was lost: a child of the dead is never born.
 *
 * @throws TrustWardenError `ancestor_dead`.
 */
export function requireLivingLine(line: readonly Lifeline[], now: number): void {
  const dead = line.find((link) => link.isRevoked || link.expiresAt <= now);
  if (dead !== undefined || line.length === 0) {
    throw new TrustWardenError("ancestor_dead", { instanceId: dead?.instanceId ?? null });
  }
}

function requireScope({ parent, child, mode }: Delegation): void {
  const pair = { parent: parent.scope, child: child.scope };
  if (!isSubset(pair)) {
    throw new TrustWardenError("scope_not_subset", { counterexample: findCounterexample(pair) ?? null });
  }
  if (isStrictSubset(pair)) return;
  if (mode === "strict") throw new TrustWardenError("scope_not_subset", { reason: "equal" });
  if (!isNarrower({ parent, child }))
    throw new TrustWardenError("scope_not_subset", { reason: "nothing narrower" });
}

/** Whether a lifetime, a depth or a budget is smaller; none can be larger, which the other checks see to. */
function isNarrower({ parent, child }: Pick<Delegation, "parent" | "child">): boolean {
  const parentBudget = parent.limits.budget ?? Number.POSITIVE_INFINITY;
  const childBudget = child.limits.budget ?? Number.POSITIVE_INFINITY;
  // A child is one generation down in any case: only a depth below that is a narrowing of its own.
  const isShallower = child.limits.depth < parent.limits.depth - 1;
  return child.expiresAt < parent.expiresAt || isShallower || childBudget < parentBudget;
}

function requireNarrowerLimits(parent: Limits, child: Limits): void {
  const isWithin = child.depth <= parent.depth - 1 && child.fanOut <= parent.fanOut;
  const isBounded = parent.budget === null || child.budget !== null;
  if (!isWithin || !isBounded) {
    throw new TrustWardenError("limits_not_narrower", {
      depth: child.depth,
      fanOut: child.fanOut,
      isBounded,
    });
  }
}

/** Budgets are summed over live siblings, or a parent could hand out its whole budget once to each child. */
function requireBudget({ parent, child, siblings }: Delegation): void {
  if (parent.limits.budget === null) return;
  const total = siblings.budget + (child.limits.budget ?? 0);
  if (total > parent.limits.budget) {
    throw new TrustWardenError("budget_exceeded", { total, budget: parent.limits.budget });
  }
}
