/**
 * Has an action of this process decided and recorded by whoever holds its identity: the launcher signs the intent, in the
 * one sequence of the instance, and reports the outcome.
 *
 * @see agent.proto, `Decide`
 */
import { status } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { callAgentApi, textOf } from "./agent-api-call.ts";

/**
 * The event's id of an action that is allowed.
 *
 * @param address - `unix:///path`, as in `SPIFFE_ENDPOINT_SOCKET`.
 * @throws TrustWardenError `denied`, `no_identity`, `endpoint_malformed`; `server_unreachable` when the endpoint decides nothing,
 *   or cannot now.
 */
export function requestOwnDecision(
  address: string,
  { action, resource }: { readonly action: string; readonly resource: string },
): Promise<string> {
  return callAgentApi({
    address,
    method: "Decide",
    request: { action, resource },
    read: textOf("event_id"),
    refuse: (code, cause) => new TrustWardenError(codeOf(code), { action, status: code ?? null }, { cause }),
  });
}

function codeOf(
  code: number | undefined,
): "denied" | "no_identity" | "request_malformed" | "server_unreachable" {
  if (code === status.FAILED_PRECONDITION) return "denied";
  if (code === status.PERMISSION_DENIED) return "no_identity";
  return code === status.INVALID_ARGUMENT ? "request_malformed" : "server_unreachable";
}
