/** HTTP API: actions that wait for a human, the human's answers, and the freeze. */
import { z } from "zod";
import type { ApprovalQuestion } from "../approval.ts";

/** As long as a person reads; longer bodies are named by their digest. */
export const MAX_SHOWN_BODY_CHARS = 65_536;

const eventId = z.string().min(1).max(64);
const digest = z.string().length(43);
const enforcement = z.enum(["gateway", "service", "self"]);

/** What a request's commitment hides: opened by the agent whose request it is. */
const requestOpening = z.strictObject({
  kind: z.literal("request"),
  method: z.string().min(1).max(16),
  target: z.string().min(1).max(8192),
  body_sha256: digest,
});
const paramsOpening = z.strictObject({
  kind: z.literal("params"),
  params: z.record(z.string(), z.json()).nullable(),
});
export const opening = z.discriminatedUnion("kind", [requestOpening, paramsOpening]);

/** An approval that a call names, with the opening of the call's own commitment. */
export const presentedApproval = z.strictObject({
  id: eventId,
  parameters: opening,
  salt: z
    .string()
    .max(64)
    .describe("base64url; opens the intent's commitment; empty for an act without parameters"),
});
export type PresentedApproval = z.infer<typeof presentedApproval>;

/** `POST /v1/approvals` (agent): asks the owner about an action of its own that was denied with `approval_required` */
export const approvalRequest = z.strictObject({
  event_id: eventId.describe("of the action that asked"),
  decision_index: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  parameters: opening,
  salt: z.string().max(64),
  body: z
    .string()
    .max(MAX_SHOWN_BODY_CHARS)
    .nullable()
    .describe("the request's body for the owner to read, when it is text; checked against body_sha256"),
  expires_in: z.number().int().min(1).max(900),
});
export type ApprovalRequestBody = z.infer<typeof approvalRequest>;

export const approvalView = z.object({
  id: z.string(),
  status: z.enum(["pending", "approved", "denied", "used", "expired"]),
  owner_id: z.string(),
  agent: z.string().describe("SPIFFE ID of the instance"),
  agent_id: z.string(),
  instance_id: z.string(),
  action: z.string(),
  resource: z.string(),
  audience: z.string().describe("SPIFFE ID of the enforcement point"),
  enforcement,
  reasons: z.array(z.string()),
  why: z.string().describe("the policy's sentence for the human; empty when it gives none"),
  intent_sha256: z.string(),
  parameters: z.string().describe("canonical JSON of what would be done"),
  body: z.string().nullable(),
  salt: z.string().describe("base64url; under it the commitment is to the parameters"),
  commitment: z.string(),
  policy_sha256: z.string(),
  created_at: z.number().int(),
  expires_at: z.number().int(),
  answered_at: z.number().int().nullable(),
  approval: z.string().nullable().describe("DSSE: the owner's signed answer"),
  used_by: z.string().nullable().describe("event id of the action that used it"),
});
export type ApprovalView = z.infer<typeof approvalView>;

/** What the owner's answer is about, as it is signed. */
export function questionOf(view: ApprovalView): ApprovalQuestion {
  return {
    id: view.id,
    intent_sha256: view.intent_sha256,
    owner: view.owner_id,
    agent: view.agent,
    action: view.action,
    resource: view.resource,
    audience: view.audience,
    parameters: view.commitment,
    policy_sha256: view.policy_sha256,
  };
}

/** `GET /v1/approvals` (owner its own, operator all) */
export const approvalQuery = z.strictObject({
  state: z.enum(["pending", "all"]).default("pending"),
  limit: z.coerce.number().int().min(1).max(256).default(100),
});
export const approvalList = z.object({ approvals: z.array(approvalView) });
export type ApprovalList = z.infer<typeof approvalList>;

/** `GET /v1/approvals/:id`; `wait` holds the answer back until there is one or the seconds are over */
export const approvalWait = z.strictObject({ wait: z.coerce.number().int().min(0).max(25).default(0) });

/** `POST /v1/approvals/:id/answer` (owner) */
export const approvalAnswerRequest = z.strictObject({ approval: z.string().min(1).max(8192) });

/** `POST /v1/policy/freeze` (operator); null lifts it */
export const freezeRequest = z.strictObject({
  freeze: z
    .strictObject({
      reason: z.string().min(1).max(256),
      until: z.number().int().min(1).nullable().describe("Unix seconds; null: until it is lifted"),
    })
    .nullable(),
});
export const freezeAnswer = z.object({
  freeze: z
    .object({ reason: z.string(), since: z.number().int(), until: z.number().int().nullable() })
    .nullable(),
  epoch: z.number().int(),
});
export type FreezeAnswer = z.infer<typeof freezeAnswer>;
