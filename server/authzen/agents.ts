/**
 * Decisions about an agent that somebody else asks for: an enforcement point that has no intent of the agent's to show.
 *
 * The agent is loaded by id with its whole chain, and so are its scopes: nothing that the caller says about it counts.
 * Such an answer says what the agent may do, not that the agent asked for it; it is no receipt, and no verifier of ours
 * takes it for a permission.
 */
import type { ActionName } from "@trustwarden/core/action.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { AgentPrincipal, Enforcement } from "@trustwarden/core/principal.ts";
import { previewAction } from "../approvals/decide-action.ts";
import { agentWithoutSvid, requireLiveChain } from "../http/peer.ts";
import type { Services } from "../http/services.ts";

/** One action of one instance. */
export interface AgentEnquiry {
  readonly instanceId: string;
  readonly action: ActionName;
  /** URI of what would be acted on, as the enforcement point names it. */
  readonly resource: string;
  /** What policies see of the parameters. */
  readonly arguments: JsonObject;
  /** Where the caller enforces. */
  readonly enforcement: Enforcement;
}

/** What was decided, and about whom. */
export interface AgentDecision {
  readonly agent: AgentPrincipal;
  readonly decision: Decision;
}

/**
 * The decision about a live instance.
 *
 * @throws TrustWardenError `instance_unknown`, `identity_revoked`, `identity_expired`, `principal_refused` when there is
 *   no such live agent.
 */
export async function decideForAgent(services: Services, enquiry: AgentEnquiry): Promise<AgentDecision> {
  const { action, resource, enforcement } = enquiry;
  // Before the liveness, so that no answer claims to know of a revocation that it was decided without.
  const epoch = services.reads.epoch();
  const chain = requireLiveChain(services.reads, enquiry.instanceId, services.clock.trustedSeconds());
  const agent = agentWithoutSvid(chain);
  const asked = { agent, action, resource, enforcement, epoch, arguments: enquiry.arguments };
  const decision = await previewAction(services, { ...asked, effects: null, job: null, peer: "local" });
  return { agent, decision };
}
