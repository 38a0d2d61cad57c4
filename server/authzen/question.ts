/**
 * What an AuthZEN request asks in our words.
 *
 * Two spellings, and a request is in one of them: the action's name is a verb, and type and id of the resource are type
 * and path of the action (`read` on `transactions` `2026` is `read:transactions:2026`); or the name is a whole action of
 * that type, and the id is the URI of what is acted on. Text that is no action names nothing, so it is denied.
 */
import { type ActionName, parseActionName, partsOf } from "@trustwarden/core/action.ts";
import type { EvaluationRequest } from "@trustwarden/core/api/authzen.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";

/** Types of subjects that are ours; ids of every other type belong to somebody else's policy. */
export const AGENT_TYPES = ["agent", "instance", "spiffe"] as const;
export type AgentType = (typeof AGENT_TYPES)[number];

/** An action of ours on a resource of theirs. */
export interface Asked {
  readonly action: ActionName;
  /** URI of what would be acted on. */
  readonly resource: string;
}

/** Whether subjects of a type are agents of this deployment. */
export function isAgentType(type: string): type is AgentType {
  return AGENT_TYPES.some((known) => known === type);
}

/** @throws TrustWardenError `action_malformed`. */
export function parseAsked({ action, resource }: Pick<EvaluationRequest, "action" | "resource">): Asked {
  if (!action.name.includes(":")) {
    const name = parseActionName(`${action.name}:${resource.type}:${resource.id}`);
    return { action: name, resource: `${resource.type}:${resource.id}` };
  }
  const name = parseActionName(action.name);
  // A name of another type than the resource's would be decided as one thing and enforced as another.
  return partsOf(name).type === resource.type
    ? { action: name, resource: resource.id }
    : { action: parseActionName(""), resource: resource.id };
}

/**
 * What policies see as arguments: the action's properties, and beside them `resource` and `context` where there are any.
 * Never the subject's, which are what the caller says of our agent.
 */
export function argumentsOf({
  action,
  resource,
  context,
}: Pick<EvaluationRequest, "action" | "resource" | "context">): JsonObject {
  return {
    ...action.properties,
    ...member("resource", resource.properties),
    ...member("context", context),
  };
}

/** The whole tuple as a custom policy sees it: every member is there, so that no rule stumbles over a missing one. */
export function inputOf({ subject, action, resource, context = {} }: Partial<EvaluationRequest>): JsonObject {
  return {
    subject: { type: subject?.type ?? "", id: subject?.id ?? "", properties: subject?.properties ?? {} },
    action: { name: action?.name ?? "", properties: action?.properties ?? {} },
    resource: { type: resource?.type ?? "", id: resource?.id ?? "", properties: resource?.properties ?? {} },
    context,
  };
}

function member(name: string, value: Record<string, Json> | undefined): JsonObject {
  return value === undefined ? {} : { [name]: value };
}
