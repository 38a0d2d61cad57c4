/**
 * Asks the holder of the parent's key for a grant, over the parent's own socket: who may connect there is the parent, so
 * being answered is the parent's consent.
 *
 * @see agent.proto, `Grant`
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { callAgentApi } from "./agent-api-call.ts";

/**
 * The grant for a child's request.
 *
 * @param address - `unix:///path`, as in `SPIFFE_ENDPOINT_SOCKET`.
 * @throws TrustWardenError `endpoint_malformed`, `parent_proof_missing` when the endpoint does not grant.
 */
export function requestParentGrant(address: string, request: string): Promise<string> {
  return callAgentApi({
    address,
    method: "Grant",
    request: { request },
    field: "grant",
    refuse: (status, cause) => {
      const details = status === undefined ? { reason: "no grant" } : { status };
      return new TrustWardenError("parent_proof_missing", details, { cause });
    },
  });
}
