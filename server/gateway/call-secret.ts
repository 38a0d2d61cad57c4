/**
 * A call and the secret of its upstream: what the caller may not use is a deny in the record, and not an allowed call
 * that then fails. The broker asks again when the secret goes onto the request.
 */
import type { Decision } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import type { Services } from "../http/services.ts";
import { memberCallOf } from "./mcp/member-call.ts";
import type { CallArrival, GatewayCaller } from "./ports.ts";

/**
 * The same decision when the caller may use the secret, or none is needed; else a deny with the broker's code. Nobody
 * is asked to approve what could not be done.
 */
export function decideWithSecret(
  { broker }: Pick<Services, "broker">,
  arrival: CallArrival,
  { caller, decision }: { readonly caller: Pick<GatewayCaller, "agent">; readonly decision: Decision },
): Decision {
  if (decision.effect === "deny") return decision;
  const { upstream } = memberCallOf(arrival) ?? arrival;
  if (upstream.secret === null) return decision;
  const { secret, name, url } = upstream;
  try {
    broker.requireUsable({ secret, upstream: name, origin: originOf(url), agent: caller.agent });
    return decision;
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.status !== 403) throw error;
    arrival.progress.refusal = error;
    return { ...decision, effect: "deny", reasons: [error.code] };
  }
}
