/**
 * A call to an endpoint that stands for several upstreams, as the call of the one member that it is for.
 *
 * The path is walked once, by the endpoint's address; what was decided there is the member's action, by the code that
 * planned it. From here on it is the member's: its settings, its pins, its secret, its connections.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isAggregate, routeToMember } from "@trustwarden/core/gateway/mcp/aggregate.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import type { CallArrival } from "../ports.ts";

/** What of an arrival is the member's. */
export type MemberCall = Pick<CallArrival, "upstream" | "request">;

const known = new WeakMap<CallArrival, MemberCall | null>();

/**
 * The member's side of a call; null for a call to an upstream of its own, or to the endpoint itself.
 *
 * @throws TrustWardenError `upstream_unknown` for a member that is gone, and as `routeToMember`.
 */
export function memberCallOf(arrival: CallArrival): MemberCall | null {
  const found = known.get(arrival);
  if (found !== undefined) return found;
  const { upstream, request } = arrival;
  const routed =
    upstream.kind === "mcp" && isAggregate(upstream.settings)
      ? routeToMember(upstream.settings, request)
      : null;
  const call =
    routed === null ? null : { upstream: findMember(upstream, routed.member), request: routed.request };
  known.set(arrival, call);
  return call;
}

function findMember({ members = [] }: UpstreamState, name: string): UpstreamState {
  const member = members.find((one) => one.name === name);
  if (member === undefined) throw new TrustWardenError("upstream_unknown");
  return member;
}
