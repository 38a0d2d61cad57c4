/**
 * Evaluations of AuthZEN: decided one by one, recorded together, and only then answered.
 *
 * Each evaluation is an event of its own, so that the ledger finds it by its agent. An answer that could not be recorded
 * is none: the caller gets 503, never an allow.
 */
import { setImmediate as letOthersGoOn } from "node:timers/promises";
import { type ActionClass, classOf } from "@trustwarden/core/action.ts";
import type { EvaluationAnswer, EvaluationRequest } from "@trustwarden/core/api/authzen.ts";
import type { PolicyReference } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { formatChain, formatPrincipal } from "@trustwarden/core/principal.ts";
import { isHeld } from "../approvals/held.ts";
import { isPolicyStopped } from "../approvals/stopped-policy.ts";
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
  /** How many instances were decided about: one, unless an agent was asked about that has more. */
  readonly instances: number;
}

/** What says whether anything has changed. */
interface EpochServices {
  readonly reads: { epoch(): number };
  readonly sharing: { isCurrent(): boolean };
}

/** A question of somebody else's with what was decided. */
export interface Evaluated {
  readonly request: EvaluationRequest;
  readonly evaluation: Evaluation;
}

/** Decides one tuple; never throws for what it says, because what cannot be understood is denied. */
export async function evaluate(services: Services, request: EvaluationRequest): Promise<Evaluation> {
  if (!isAgentType(request.subject.type)) return evaluateForeign(services, request);
  try {
    const asked = parseAsked(request);
    const instances = liveInstancesOf(services, request.subject);
    const evaluations: Evaluation[] = [];
    for (const instanceId of instances) {
      // One request may ask for thousands of decisions; a revocation never waits for all of them.
      await letOthersGoOn();
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

/**
 * Evaluations as they are answered, each recorded first, under the epoch that it was decided on. An allow that something
 * was revoked or changed after is decided once more; it is answered with `decision_stale` unless it still stands.
 *
 * @throws TrustWardenError `ledger_unavailable`.
 */
export async function recordEvaluations(
  services: Services,
  visit: Pick<Visit, "arrival" | "caller">,
  evaluations: readonly Evaluated[],
): Promise<readonly EvaluationAnswer[]> {
  const { arrival, caller } = visit;
  const requestId = arrival.headers["x-request-id"];
  const events = evaluations.map(({ request, evaluation }) => ({
    draft: draftOf(evaluation, {
      interface: "authzen",
      action: request.action.name,
      resource_type: request.resource.type,
      resource: request.resource.id,
      ...(typeof requestId === "string" ? { request_id: requestId } : {}),
    }),
    epoch: evaluation.epoch,
  }));
  const ids = await services.ledger.recordControls(events, {
    nowMs: services.clock.nowMs(),
    principal: formatPrincipal(caller.principal),
    peer: arrival.peer,
    intent: null,
  });
  const asked: Evaluation[] = [];
  for (const { request, evaluation } of evaluations) {
    asked.push(await askAgain(services, evaluation, () => evaluate(services, request)));
  }
  // In one step with the answer: what was found to stand first may have fallen while the last was decided.
  return asked.map((evaluation, index) =>
    formatEvaluation(
      isCurrent(services, evaluation)
        ? evaluation
        : { ...evaluation, isAllowed: false, reasons: ["decision_stale"] },
      ids[index] ?? "",
    ),
  );
}

/** The evaluation itself while it counts; else what is decided now, which only counts when it is an allow again. */
export async function askAgain(
  services: EpochServices,
  evaluation: Evaluation,
  decide: () => Promise<Evaluation>,
): Promise<Evaluation> {
  if (isCurrent(services, evaluation)) return evaluation;
  const again = await decide();
  return again.isAllowed ? again : evaluation;
}

/** Whether an evaluation may be answered: a deny always, an allow while nothing has changed since. */
export function isCurrent({ reads, sharing }: EpochServices, { isAllowed, epoch }: Evaluation): boolean {
  return !isAllowed || (epoch === reads.epoch() && sharing.isCurrent());
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
    instances: 1,
  };
}

/**
 * An agent may do what each of its live instances may: one that may not answers for all. Of allows it is the first, whose
 * epoch is the oldest.
 */
function strictestOf(evaluations: readonly Evaluation[]): Evaluation | undefined {
  const strictest = evaluations.find(({ isAllowed }) => !isAllowed) ?? evaluations[0];
  return strictest === undefined ? undefined : { ...strictest, instances: evaluations.length };
}

/** Subjects that are not ours are a matter of the custom policy; without one that knows them they are unknown. */
async function evaluateForeign(services: Services, request: EvaluationRequest): Promise<Evaluation> {
  // A custom policy may be ours to run, so others come first here too; and the epoch is that of before it was asked.
  await letOthersGoOn();
  const epoch = services.reads.epoch();
  try {
    const isAllowed = await services.policy.isAllowed(inputOf(request));
    if (isPolicyStopped(services)) return denied(services, request, { reason: "policy_stopped" });
    if (isHeld(services)) return denied(services, request, { reason: "restore_held" });
    const reason = isAllowed === undefined ? "subject_unknown" : "denied_by_policy";
    const evaluation = { ...denied(services, request, { reason }), epoch };
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
    instances: 1,
  };
}

function formatEvaluation({ isAllowed, reasons, class: actionClass, epoch }: Evaluation, id: string) {
  return { decision: isAllowed, context: { id, reasons: [...reasons], class: actionClass, epoch } };
}
