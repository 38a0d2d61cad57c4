/**
 * Evaluations of AuthZEN: decided one by one, recorded together, and only then answered.
 *
 * Each evaluation is an event of its own, so that the ledger finds it by its agent. An answer that could not be recorded
 * is none: the caller gets 503, never an allow.
 */
import { type ActionClass, classOf } from "@trustwarden/core/action.ts";
import type { EvaluationAnswer, EvaluationRequest } from "@trustwarden/core/api/authzen.ts";
import type { PolicyReference } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { formatChain, formatPrincipal } from "@trustwarden/core/principal.ts";
import type { Visit } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import type { ControlDraft } from "../store/ports.ts";
import { type AgentDecision, decideForAgent } from "./agents.ts";
import { type Asked, argumentsOf, inputOf, isAgentType, parseAsked } from "./question.ts";
import { liveInstancesOf } from "./subjects.ts";

/** One evaluation with what its event says of it. */
export interface Evaluation {
  readonly isAllowed: boolean;
  readonly reasons: readonly string[];
  readonly class: ActionClass;
  readonly epoch: number;
  readonly policy: PolicyReference;
  /** SPIFFE ID of the instance that was decided about; else type and id as they were asked. */
  readonly subject: string;
  readonly chain: readonly string[];
}

/** Decides one tuple; never throws for what it says, because what cannot be understood is denied. */
export async function evaluate(services: Services, request: EvaluationRequest): Promise<Evaluation> {
  if (!isAgentType(request.subject.type)) return evaluateForeign(services, request);
  try {
    const asked = parseAsked(request);
    const instances = liveInstancesOf(services, request.subject);
    const evaluations: Evaluation[] = [];
    for (const instanceId of instances) {
      const enquiry = {
        ...asked,
        instanceId,
        arguments: argumentsOf(request),
        enforcement: "service",
      } as const;
      evaluations.push(evaluationOf(await decideForAgent(services, enquiry)));
    }
    return strictestOf(evaluations) ?? denied(services, request, { reason: "instance_unknown", asked });
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.status >= 500) throw error;
    // Safe to go on: what names no action of ours, or nobody who lives, is a deny that says so.
    return denied(services, request, { reason: error.code });
  }
}

/** Evaluations as they are answered, each recorded first. @throws TrustWardenError `ledger_unavailable`. */
export async function recordEvaluations(
  services: Services,
  visit: Pick<Visit, "arrival" | "caller">,
  evaluations: readonly { readonly request: EvaluationRequest; readonly evaluation: Evaluation }[],
): Promise<readonly EvaluationAnswer[]> {
  const { arrival, caller } = visit;
  const requestId = arrival.headers["x-request-id"];
  const drafts = evaluations.map(({ request, evaluation }) =>
    draftOf(evaluation, {
      interface: "authzen",
      action: request.action.name,
      resource_type: request.resource.type,
      resource: request.resource.id,
      ...(typeof requestId === "string" ? { request_id: requestId } : {}),
    }),
  );
  const ids = await services.ledger.recordControls(drafts, {
    nowMs: services.clock.nowMs(),
    principal: formatPrincipal(caller.principal),
    peer: arrival.peer,
    intent: null,
    epoch: services.reads.epoch(),
  });
  return evaluations.map(({ evaluation }, index) => formatEvaluation(evaluation, ids[index] ?? ""));
}

/** The event of an evaluation. */
export function draftOf(evaluation: Evaluation, details: JsonObject): ControlDraft {
  const { isAllowed, reasons, subject, chain, policy } = evaluation;
  return {
    kind: "evaluation",
    allow: isAllowed,
    reasons,
    subject,
    chain,
    details: {
      ...details,
      class: evaluation.class,
      policy: { name: policy.name, bundle_sha256: policy.bundleSha256 },
    },
  };
}

/** What a decision about one instance is as an evaluation. */
export function evaluationOf({ agent, decision }: AgentDecision): Evaluation {
  return {
    // An approval that is waited for is no permission yet.
    isAllowed: decision.effect === "allow",
    reasons: decision.reasons,
    class: decision.class,
    epoch: decision.epoch,
    policy: decision.policy,
    subject: agent.spiffeId,
    chain: formatChain(agent),
  };
}

/** An agent may do what each of its live instances may: one that may not answers for all. */
function strictestOf(evaluations: readonly Evaluation[]): Evaluation | undefined {
  return evaluations.find(({ isAllowed }) => !isAllowed) ?? evaluations[0];
}

/** Subjects that are not ours are a matter of the custom policy; without one that knows them they are unknown. */
async function evaluateForeign(services: Services, request: EvaluationRequest): Promise<Evaluation> {
  try {
    const isAllowed = await services.policy.isAllowed(inputOf(request));
    const reason = isAllowed === undefined ? "subject_unknown" : "denied_by_policy";
    const evaluation = denied(services, request, { reason });
    const policy = services.policy.references.at(-1) ?? evaluation.policy;
    return isAllowed === true ? { ...evaluation, isAllowed, reasons: [], policy } : { ...evaluation, policy };
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    // Safe to go on: a policy that gives no answer has not allowed anything.
    return denied(services, request, { reason: error.code });
  }
}

function denied(
  services: Services,
  { subject }: EvaluationRequest,
  { reason, asked }: { readonly reason: string; readonly asked?: Asked },
): Evaluation {
  return {
    isAllowed: false,
    reasons: [reason],
    class: asked === undefined ? "A" : classOf(asked.action, services.policy.classes),
    epoch: services.reads.epoch(),
    policy: services.policy.engine.policy,
    subject: `${subject.type}:${subject.id}`,
    chain: [],
  };
}

function formatEvaluation({ isAllowed, reasons, class: actionClass, epoch }: Evaluation, id: string) {
  return { decision: isAllowed, context: { id, reasons: [...reasons], class: actionClass, epoch } };
}
