/**
 * Asks the holder of the parent's key for a grant, over the parent's own socket: who may connect there is the parent, so
 * being answered is the parent's consent.
 *
 * A named parent is one of the instances that the socket gives to this very process; nobody's word makes it another's. The
 * holder of the key checks that again, and the server that the key is that instance's.
 *
 * @see agent.proto, `Grant`; docs/guides/warden-run.md, "A named parent"
 */
import type { ServiceError } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { callAgentApi, textOf } from "./agent-api-call.ts";

/** Members of `Instance` that a parent may be named by. */
const NAMES = ["instance_id", "agent_id", "spiffe_id"] as const;

/**
 * The grant for a child's request.
 *
 * @param address - `unix:///path`, as in `SPIFFE_ENDPOINT_SOCKET`.
 * @param asked.parentId - id of an instance, its agent's, or its SPIFFE ID; undefined for the only one there is.
 * @throws TrustWardenError `endpoint_malformed`, `parent_proof_missing` when this process is not exactly one instance of that
 *   name, or when its endpoint does not grant.
 */
export async function requestParentGrant(
  address: string,
  { request, parentId }: { readonly request: string; readonly parentId: string | undefined },
): Promise<string> {
  const parent = parentId === undefined ? "" : await findInstance(address, parentId);
  return callAgentApi({
    address,
    method: "Grant",
    request: { request, parent },
    read: textOf("grant"),
    refuse: missingProof("no grant"),
  });
}

/** The id of this process's one instance that is named so. */
function findInstance(address: string, parentId: string): Promise<string> {
  return callAgentApi({
    address,
    method: "Describe",
    request: {},
    read: (members) => {
      const [instanceId, ...others] = instancesOf(members.get("instances")).flatMap((instance) =>
        NAMES.some((name) => instance.get(name) === parentId) ? [textOf("instance_id")(instance)] : [],
      );
      return others.length === 0 ? instanceId : undefined;
    },
    refuse: missingProof("not one instance of this process"),
  });
}

function instancesOf(list: unknown): readonly ReadonlyMap<string, unknown>[] {
  return Array.isArray(list) ? list.map((instance) => new Map(Object.entries(Object(instance)))) : [];
}

function missingProof(reason: string) {
  return (status: number | undefined, cause?: ServiceError) => {
    const details = status === undefined ? { reason } : { status };
    return new TrustWardenError("parent_proof_missing", details, { cause });
  };
}
