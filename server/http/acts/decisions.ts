/** The answer of the data plane: the decision, whom it is about, and the receipt. */
import type { DecisionAnswer } from "@trustwarden/core/api/action.ts";
import { authorize } from "@trustwarden/core/guard.ts";
import { formatChain } from "@trustwarden/core/principal.ts";
import { observePath } from "../../metrics/observe.ts";
import { requireCurrent } from "../../shared/sharing.ts";
import type { Arrival } from "../arrival.ts";
import { createDecisionPorts } from "../decision-ports.ts";
import type { GuardedRoute } from "../route.ts";
import type { Services } from "../services.ts";

/**
 * Authenticates, decides and records; a deny is an answer like any other.
 *
 * @throws TrustWardenError any 401 code, `rate_limited`, `overloaded`, `ledger_unavailable`, or `store_unavailable` where servers
 *   that share a store cut this one off: then nothing may act.
 */
export async function answerDecision(
  services: Services,
  route: GuardedRoute,
  arrival: Arrival,
): Promise<DecisionAnswer> {
  const ports = createDecisionPorts(services, route);
  const { principal, decision, receipt } = await authorize(
    observePath(services.meter, "decision", ports),
    arrival,
  ).finally(() => ports.leave());
  // To bring it into the ledger may take longer than the lease under which it was decided.
  if (services.sharing.isShared) await requireCurrent(services);
  const { agent, intent, enforcement } = principal;
  return {
    allow: decision.effect === "allow",
    reasons: [...decision.reasons],
    class: decision.class,
    epoch: decision.epoch,
    enforcement,
    agent: {
      spiffe_id: agent.spiffeId,
      agent_id: agent.agentId,
      instance_id: agent.instanceId,
      owner_id: agent.ownerId,
      chain: [...formatChain(agent)],
      chain_instances: agent.chain.map(({ instanceId }) => instanceId),
    },
    receipt: {
      event_id: intent.intent.event_id,
      intent_sha256: intent.sha256,
      decision: receipt.decision,
      decision_index: receipt.index,
      acknowledgement: receipt.acknowledgement,
    },
  };
}
