/**
 * HTTP API: OpenID AuthZEN Authorization API 1.0, for enforcement points that are not ours.
 *
 * Unlike our own requests these are open: a receiver has to ignore members that it does not know (§10.1.1).
 *
 * @see Authorization API 1.0 §5 to §10
 */
import { z } from "zod";

/** Longer than a SPIFFE ID; longer than any name that a policy should have to read. */
const MAX_TEXT_CHARS = 2048;
const MAX_TYPE_CHARS = 256;
/** Each of them leaves an event. */
const MAX_EVALUATIONS = 100;

const typeName = z.string().min(1).max(MAX_TYPE_CHARS);
const id = z.string().min(1).max(MAX_TEXT_CHARS);
const properties = z.record(z.string(), z.json()).optional();

const subject = z.object({ type: typeName, id, properties });
const resource = z.object({ type: typeName, id, properties });
const action = z.object({ name: z.string().min(1).max(MAX_TEXT_CHARS), properties });
const context = properties;

/** `POST /access/v1/evaluation` (verifier, operator) */
export const evaluationRequest = z.object({ subject, resource, action, context });
export type EvaluationRequest = z.infer<typeof evaluationRequest>;

/** A deny is HTTP 200 with `decision: false`. */
export const evaluationAnswer = z.object({
  decision: z.boolean(),
  context: z
    .object({
      id: z.string().describe("event id of the evaluation in the ledger"),
      reasons: z.array(z.string()),
      class: z.enum(["A", "B", "C"]),
      epoch: z.number().int(),
    })
    .optional(),
});
export type EvaluationAnswer = z.infer<typeof evaluationAnswer>;

/** `POST /access/v1/evaluations`: what stands outside the list is the default of what stands in it. */
export const evaluationsRequest = z.object({
  subject: subject.optional(),
  resource: resource.optional(),
  action: action.optional(),
  context,
  evaluations: z
    .array(
      z.object({
        subject: subject.optional(),
        resource: resource.optional(),
        action: action.optional(),
        context,
      }),
    )
    .max(MAX_EVALUATIONS)
    .optional(),
  options: z
    .object({
      evaluations_semantic: z
        .enum(["execute_all", "deny_on_first_deny", "permit_on_first_permit"])
        .optional(),
    })
    .optional(),
});
export type EvaluationsRequest = z.infer<typeof evaluationsRequest>;

/** Without a list the request is a single one, and so is its answer. */
export const evaluationsAnswer = z.union([
  z.object({ evaluations: z.array(evaluationAnswer) }),
  evaluationAnswer,
]);
export type EvaluationsAnswer = z.infer<typeof evaluationsAnswer>;

const page = z
  .object({
    token: z.string().max(4096).optional(),
    limit: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  })
  .optional();
export type SearchPage = z.infer<typeof page>;

/** `POST /access/v1/search/subject`; an id of what is looked for is ignored. */
export const subjectSearch = z.object({
  subject: z.object({ type: typeName, properties }),
  action,
  resource,
  context,
  page,
});
export type SubjectSearch = z.infer<typeof subjectSearch>;

/** `POST /access/v1/search/resource` */
export const resourceSearch = z.object({
  subject,
  action,
  resource: z.object({ type: typeName, properties }),
  context,
  page,
});
export type ResourceSearch = z.infer<typeof resourceSearch>;

/** `POST /access/v1/search/action` */
export const actionSearch = z.object({ subject, resource, context, page });
export type ActionSearch = z.infer<typeof actionSearch>;

const pageAnswer = z.object({
  next_token: z.string().describe("empty after the last page"),
  count: z.number().int(),
});
const entity = z.object({ type: z.string(), id: z.string() });

/** Found subjects or resources. */
export const entitySearchAnswer = z.object({ page: pageAnswer, results: z.array(entity) });
export type EntitySearchAnswer = z.infer<typeof entitySearchAnswer>;

/** Found actions. */
export const actionSearchAnswer = z.object({
  page: pageAnswer,
  results: z.array(z.object({ name: z.string() })),
});
export type ActionSearchAnswer = z.infer<typeof actionSearchAnswer>;

/** `GET /.well-known/authzen-configuration` */
export const authzenConfiguration = z.object({
  policy_decision_point: z.string(),
  access_evaluation_endpoint: z.string(),
  access_evaluations_endpoint: z.string(),
  search_subject_endpoint: z.string(),
  search_resource_endpoint: z.string(),
  search_action_endpoint: z.string(),
});
export type AuthzenConfiguration = z.infer<typeof authzenConfiguration>;
