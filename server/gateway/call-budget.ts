/**
 * A call and its budgets: room is taken with the decision, and given back or charged when the call is over.
 */
import type { Decision } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Services } from "../http/services.ts";
import type { CallArrival, GatewayCaller } from "./ports.ts";

/**
 * The same decision while every budget of the chain has room; a deny that names the budget's code when one has none.
 *
 * @throws TrustWardenError `store_unavailable`
 */
export async function decideWithinBudget(
  { budgets }: Pick<Services, "budgets">,
  { progress }: CallArrival,
  { caller, decision }: { readonly caller: GatewayCaller; readonly decision: Decision },
): Promise<Decision> {
  if (decision.effect !== "allow") return decision;
  try {
    progress.reservation = await budgets.reserve(caller.agent, caller.plan.estimate);
    return decision;
  } catch (error) {
    if (!(error instanceof TrustWardenError) || !isShortage(error)) throw error;
    progress.refusal = error;
    return { ...decision, effect: "deny", reasons: [error.code] };
  }
}

/** Nothing was done: what was reserved is free again. */
export function releaseBudget({ progress }: CallArrival): void {
  progress.reservation?.cancel();
  progress.reservation = undefined;
}

/** The call is over: what it used is charged, or all that was reserved where nobody knows. */
export function settleBudget({ progress }: CallArrival): void {
  if (progress.isBegun) progress.reservation?.settle(progress.usage);
  else progress.reservation?.cancel();
  progress.reservation = undefined;
}

/**
 * What the caller is told of a deny: which budget, or what of the secret, where it was one of these; and of a call that was
 * cut, where nobody decided against it: the ledger has it as broken off either way.
 */
export function refusalOf(
  { progress }: { readonly progress: Pick<CallArrival["progress"], "refusal"> },
  failure: TrustWardenError,
): TrustWardenError {
  const isOfAnother = failure.code === "denied" || failure.code === "call_cut";
  return isOfAnother && progress.refusal !== undefined ? progress.refusal : failure;
}

function isShortage({ code }: TrustWardenError): boolean {
  return code === "budget_exhausted" || code === "price_unknown";
}
