/** Registers a workload of a federated trust domain as an owner's agent. */
import {
  formatForeignValue,
  parseUnverifiedForeignOwner,
  verifyForeignAgent,
} from "@trustwarden/core/agentid/foreign-agent.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { ForeignAgentAnswer, ForeignAgentRequest } from "@trustwarden/core/api/federation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { fileKeyOf } from "../../console/owner-signature.ts";
import type { Caller } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** @throws TrustWardenError the codes of `verifyForeignAgent` and of the command, `owner_unknown`. */
export async function registerForeignAgent(
  services: Services,
  visit: Visit<ForeignAgentRequest>,
): Promise<ForeignAgentAnswer> {
  const { registration } = visit.body;
  const owner = services.reads.findOwner(requireOwnDocument(visit.caller, registration));
  if (owner === undefined) throw new TrustWardenError("owner_unknown");
  const agent = verifyForeignAgent(registration, {
    publicKey: fileKeyOf(owner),
    audience: services.trustDomain,
    now: services.clock.trustedSeconds(),
  });
  const {
    jti,
    iat: issuedAt,
    exp: expiresAt,
    owner: ownerId,
    path,
    name,
    scope,
    spiffe_id: spiffeId,
  } = agent;
  const committed = await services.commands.registerForeign({
    context: contextOf(services, visit),
    ...{ jti, issuedAt, expiresAt, ownerId, path, name, scope, spiffeId, registration },
  });
  await services.ledger.settle(committed);
  const { agentId, instanceId, chain } = committed.value;
  const value = formatForeignValue({
    authoritiesSha256: services.authority().authoritiesSha256,
    server: services.urls().server,
    trustDomain: formatSpiffeId(services.trustDomain, []),
    ...{ spiffeId, agentId, instanceId, ownerId, path, name, scope, chain, expiresAt },
  });
  return {
    agent_id: agentId,
    instance_id: instanceId,
    owner_id: ownerId,
    spiffe_id: spiffeId,
    scope: [...scope],
    chain: [...chain],
    expires_at: expiresAt,
    value,
  };
}

/** An owner brings its own documents, not those of another. */
function requireOwnDocument({ principal }: Caller, registration: string): string {
  const ownerId = parseUnverifiedForeignOwner(registration);
  if (principal.kind !== "owner" || principal.ownerId !== ownerId) {
    throw new TrustWardenError("entry_invalid", { field: "owner" });
  }
  return ownerId;
}
