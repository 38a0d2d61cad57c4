/**
 * Which live instances a subject of AuthZEN is.
 *
 * `instance` is one instance, `spiffe` one by its SPIFFE ID, `agent` every live instance of an agent. Whatever else the
 * caller says of a subject is not read.
 */
import { parseSpiffeId, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { EvaluationRequest } from "@trustwarden/core/api/authzen.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { instanceIdOfSpiffeId } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import type { AgentState, InstanceState } from "../store/ports.ts";
import { type AgentType, isAgentType } from "./question.ts";

/** One question about an agent is decided for each of its live instances; of a larger fleet ask for one by one. */
const MAX_INSTANCES = 64;

type Subject = Pick<EvaluationRequest["subject"], "type" | "id">;

/**
 * The instances that a subject of a type of ours stands for; whether the one that was named lives is not asked here.
 *
 * @throws TrustWardenError `instance_unknown`, `spiffe_id_malformed`, `foreign_agent_unknown`, `svid_bearer_refused` for
 *   a class of instances, `request_too_large` for an agent of more than 64 live instances.
 */
export function liveInstancesOf(services: Services, subject: Subject): readonly string[] {
  if (!isAgentType(subject.type)) throw new Error("only subjects of our types come here");
  switch (subject.type) {
    case "instance":
      return [subject.id];
    case "spiffe":
      return [instanceNamed(services, parseSpiffeId(subject.id))];
    case "agent": {
      const agent = services.reads.findAgent(subject.id);
      if (agent === undefined) throw new TrustWardenError("instance_unknown");
      const live = liveOf(services, agent).map(({ instanceId }) => instanceId);
      if (live.length > MAX_INSTANCES) throw new TrustWardenError("request_too_large", { live: live.length });
      return live;
    }
  }
}

/**
 * The instance that a SPIFFE ID names in full: one with the right end and another path is nobody's.
 *
 * @throws TrustWardenError `instance_unknown`, `foreign_agent_unknown`, `svid_bearer_refused`.
 */
export function instanceNamed(services: Services, spiffeId: SpiffeId): string {
  const instanceId = instanceIdOfSpiffeId(services, spiffeId);
  if (services.reads.findInstance(instanceId)?.spiffeId !== spiffeId) {
    throw new TrustWardenError("instance_unknown");
  }
  return instanceId;
}

/** The instances of an agent that have not ended, as far as the agent's own rows say. */
export function liveOf({ clock }: Services, { instances }: AgentState): readonly InstanceState[] {
  const now = clock.trustedSeconds();
  return instances.filter(({ isRevoked, expiresAt }) => !isRevoked && now < expiresAt);
}

/** How an instance is named as a subject of a type. */
export function nameAs(type: AgentType, { instanceId, spiffeId, agentId }: InstanceState): string {
  switch (type) {
    case "agent":
      return agentId ?? "";
    case "instance":
      return instanceId;
    case "spiffe":
      return spiffeId;
  }
}
