/** The AuthZEN endpoints: decisions that somebody else enforces. */
import type {
  ActionSearch,
  ActionSearchAnswer,
  AuthzenConfiguration,
  EntitySearchAnswer,
  EvaluationAnswer,
  EvaluationRequest,
  EvaluationsAnswer,
  EvaluationsRequest,
  ResourceSearch,
  SubjectSearch,
} from "@trustwarden/core/api/authzen.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Evaluation, evaluate, recordEvaluations } from "../../authzen/evaluate.ts";
import type { FoundPage } from "../../authzen/page.ts";
import { searchActions, searchResources, searchSubjects } from "../../authzen/search.ts";
import { requireNewest } from "../../shared/sharing.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** @see Authorization API 1.0 §9 */
export async function describeAuthzen({ urls }: Services): Promise<AuthzenConfiguration> {
  const { policy, server } = urls();
  const base = policy ?? server;
  return {
    policy_decision_point: base,
    access_evaluation_endpoint: `${base}/access/v1/evaluation`,
    access_evaluations_endpoint: `${base}/access/v1/evaluations`,
    search_subject_endpoint: `${base}/access/v1/search/subject`,
    search_resource_endpoint: `${base}/access/v1/search/resource`,
    search_action_endpoint: `${base}/access/v1/search/action`,
  };
}

/** @throws TrustWardenError `ledger_unavailable`: then there is no answer. */
export async function evaluateOne(
  services: Services,
  visit: Visit<EvaluationRequest>,
): Promise<EvaluationAnswer> {
  await requireNewest(services);
  const evaluation = await evaluate(services, visit.body);
  const [answer] = await recordEvaluations(services, visit, [{ request: visit.body, evaluation }]);
  if (answer === undefined) throw new Error("one evaluation has one answer");
  return answer;
}

/**
 * Many at once; all that were decided are recorded, also those that a semantic stopped at.
 *
 * @throws TrustWardenError `request_malformed` when a tuple lacks a part that has no default either; nothing is decided
 *   then. `ledger_unavailable`.
 */
export async function evaluateMany(
  services: Services,
  visit: Visit<EvaluationsRequest>,
): Promise<EvaluationsAnswer> {
  const { evaluations: items = [], options, ...defaults } = visit.body;
  if (items.length === 0) return evaluateOne(services, { ...visit, body: requireWhole(defaults) });
  const requests = items.map((item) => requireWhole({ ...defaults, ...item }));
  const semantic = options?.evaluations_semantic ?? "execute_all";
  await requireNewest(services);
  const decided: { request: EvaluationRequest; evaluation: Evaluation }[] = [];
  for (const request of requests) {
    const evaluation = await evaluate(services, request);
    decided.push({ request, evaluation });
    if (isLast(semantic, evaluation)) break;
  }
  return { evaluations: [...(await recordEvaluations(services, visit, decided))] };
}

export async function findSubjects(
  services: Services,
  { body }: Visit<SubjectSearch>,
): Promise<EntitySearchAnswer> {
  await requireNewest(services);
  return formatPage(await searchSubjects(services, body));
}

export async function findResources(
  services: Services,
  { body }: Visit<ResourceSearch>,
): Promise<EntitySearchAnswer> {
  await requireNewest(services);
  return formatPage(await searchResources(services, body));
}

export async function findActions(
  services: Services,
  { body }: Visit<ActionSearch>,
): Promise<ActionSearchAnswer> {
  await requireNewest(services);
  return formatPage(await searchActions(services, body));
}

type Semantic = NonNullable<NonNullable<EvaluationsRequest["options"]>["evaluations_semantic"]>;

function isLast(semantic: Semantic, { isAllowed }: Evaluation): boolean {
  switch (semantic) {
    case "execute_all":
      return false;
    case "deny_on_first_deny":
      return !isAllowed;
    case "permit_on_first_permit":
      return isAllowed;
  }
}

function requireWhole(
  request: Pick<EvaluationsRequest, "subject" | "resource" | "action" | "context">,
): EvaluationRequest {
  const { subject, resource, action, context } = request;
  if (subject === undefined || resource === undefined || action === undefined) {
    throw new TrustWardenError("request_malformed", { reason: "subject, resource or action" });
  }
  return { subject, resource, action, context };
}

function formatPage<Found>({ results, nextToken }: FoundPage<Found>) {
  return { page: { next_token: nextToken, count: results.length }, results: [...results] };
}
