/**
 * Actions that wait for a human: the agent asks, the owner reads exactly what it is and answers with its key, the agent
 * waits. Who may see which request is decided before; what is not one's own is not there.
 */

import { parseActionName } from "@trustwarden/core/action.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { askOf } from "@trustwarden/core/agentscope/policy-data.ts";
import type {
  ApprovalList,
  ApprovalRequestBody,
  ApprovalView,
  approvalQuery,
  FreezeAnswer,
  freezeRequest,
} from "@trustwarden/core/api/approval.ts";
import { verifyApproval } from "@trustwarden/core/approval.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { effectOf } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { DecisionRecord, Intent } from "@trustwarden/core/event.ts";
import type { z } from "zod";
import { findFreeze } from "../../approvals/decide-action.ts";
import { verifyOpening } from "../../approvals/present-approval.ts";
import { requestApproval } from "../../approvals/request-approval.ts";
import { findOwnerSignature, usedAssertionOf } from "../../console/owner-signature.ts";
import type { ApprovalState } from "../../store/approval-ports.ts";
import { contextOf, trustedSecondsOf } from "../command-context.ts";
import { requireStillLive } from "../control-ports.ts";
import { ownerLimitOf } from "../relation.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { spread } from "./revocation.ts";

/** A question is put while the call is fresh in everybody's mind. */
const MAX_DECISION_AGE_MS = 900_000;

type ById = { readonly id: string };

/**
 * Puts an action of the calling instance before its owner.
 *
 * @throws TrustWardenError `outcome_refused` when there is no such decision, `approval_mismatch` when it was not an
 *   `ask` about an action of this instance, `intent_mismatch` when the parameters are not those of the intent,
 *   `approval_exists`, `approvals_pending`.
 */
export async function createApprovalRequest(
  services: Services,
  visit: Visit<ApprovalRequestBody>,
): Promise<ApprovalView> {
  const { principal } = visit.caller;
  if (principal.kind !== "agent") throw new Error("only agents come here");
  const { body } = visit;
  const { intent, decision } = await services.decisions.read(body.decision_index);
  const context = contextOf(services, visit);
  const isOwn = intent.agent.spiffe_id === principal.spiffeId && intent.event_id === body.event_id;
  if (!isOwn || !isAsk(decision, context.nowMs)) throw new TrustWardenError("approval_mismatch");
  const parameters = verifyOpening(body, intent);
  const asked = {
    agent: principal,
    intent: asAsked(intent, decision),
    enforcement: decision.enforcement,
    reasons: decision.reasons,
    policySha256: decision.policy.bundle_sha256,
    parameters,
    body: verifyBody(body),
    expiresInSeconds: body.expires_in,
  };
  const { id } = await requestApproval(services, { asked, context });
  return viewOf(services, requireApproval(services, id));
}

/** An owner sees its own, an operator all. */
export async function listApprovals(
  services: Services,
  { caller, query }: Visit<unknown, z.output<typeof approvalQuery>>,
): Promise<ApprovalList> {
  const ownerId = ownerLimitOf(caller.principal);
  const found = services.reads.listApprovals({
    ...(ownerId === undefined ? {} : { ownerId }),
    isOpen: query.state === "pending",
    now: services.clock.trustedSeconds(),
    limit: query.limit,
  });
  return { approvals: found.map((approval) => viewOf(services, approval)) };
}

/** One request; waits for its answer when asked to. @throws TrustWardenError `not_found`. */
export async function showApproval(
  services: Services,
  { arrival, caller, params, query }: Visit<unknown, { readonly wait: number }, ById>,
): Promise<ApprovalView> {
  const found = requireApproval(services, params.id);
  const leftSeconds = found.expiresAt - services.clock.trustedSeconds();
  if (found.answer === null && query.wait > 0) {
    // A wait costs a timer, so it holds no place; and whoever was stopped meanwhile is answered like anybody who is.
    arrival.place.leave();
    await services.approvals.wait(params.id, Math.min(query.wait, leftSeconds) * 1000);
    requireStillLive(services, caller);
  }
  return viewOf(services, requireApproval(services, params.id));
}

/**
 * Takes the owner's signed answer.
 *
 * @throws TrustWardenError `not_found`, `approval_invalid`, `signature_invalid`, `approval_expired`, `approval_answered`.
 */
export async function answerApproval(
  services: Services,
  visit: Visit<{ readonly approval: string }, unknown, ById>,
): Promise<ApprovalView> {
  const { id } = visit.params;
  const question = requireApproval(services, id);
  const envelope = visit.body.approval;
  const signature = findOwnerSignature(services, question.owner, envelope);
  const context = contextOf(services, visit);
  const { answer, exp } = verifyApproval(envelope, question, {
    publicKey: signature.key,
    audience: formatSpiffeId(services.trustDomain, []),
    now: trustedSecondsOf(services, context),
  });
  const assertion = usedAssertionOf(signature, exp);
  const command = { context, id, answer, envelope, assertion };
  await services.ledger.settle(await services.commands.answerApproval(command));
  services.approvals.tell(id);
  return viewOf(services, requireApproval(services, id));
}

/**
 * Freezes or thaws; every verifier asks again before it acts. A freeze is a stop, and does not wait for the ledger.
 *
 * @throws TrustWardenError `ledger_unavailable` for a thaw.
 */
export async function setFreeze(
  services: Services,
  visit: Visit<z.output<typeof freezeRequest>>,
): Promise<FreezeAnswer> {
  const startedMs = services.clock.monoMs();
  const context = contextOf(services, visit);
  if (visit.body.freeze === null) services.ledger.requireAvailable();
  const committed = await services.commands.setFreeze({ context, freeze: visit.body.freeze });
  await spread(services, { committed, targets: [{ kind: "policy", id: "*" }], startedMs });
  return { freeze: committed.value, epoch: committed.epoch };
}

/** The freeze that is on, or null. */
export async function showFreeze({ reads, clock }: Services): Promise<FreezeAnswer> {
  return { freeze: findFreeze({ reads, clock }) ?? null, epoch: reads.epoch() };
}

function isAsk({ allow, reasons, time }: DecisionRecord, nowMs: number): boolean {
  return !allow && effectOf(reasons) === "ask" && nowMs - Date.parse(time) < MAX_DECISION_AGE_MS;
}

function asAsked(intent: Intent, { intent_sha256 }: DecisionRecord) {
  const { event_id: eventId, action, resource, aud: audience } = intent;
  return { eventId, sha256: intent_sha256, action, resource, audience };
}

/** The human reads the body that is sent, or none. */
function verifyBody({ body, parameters }: ApprovalRequestBody): string | null {
  if (body === null) return null;
  const isSent =
    parameters.kind === "request" && encodeBase64url(sha256(encodeUtf8(body))) === parameters.body_sha256;
  if (!isSent) throw new TrustWardenError("intent_mismatch", { reason: "body" });
  return body;
}

function requireApproval({ reads }: Services, id: string): ApprovalState {
  const found = reads.findApproval(id);
  if (found === undefined) throw new TrustWardenError("not_found", { kind: "approval" });
  return found;
}

function viewOf({ clock, policy }: Services, approval: ApprovalState): ApprovalView {
  const ask = askOf(parseActionName(approval.action), policy);
  return {
    id: approval.id,
    status: statusOf(approval, clock.trustedSeconds()),
    owner_id: approval.owner,
    agent: approval.agent,
    agent_id: approval.agentId,
    instance_id: approval.instanceId,
    action: approval.action,
    resource: approval.resource,
    audience: approval.audience,
    enforcement: approval.enforcement,
    reasons: [...approval.reasons],
    why: ask?.at.includes(approval.enforcement) ? ask.why : "",
    intent_sha256: approval.intent_sha256,
    parameters: approval.parametersText,
    body: approval.body,
    salt: encodeBase64url(approval.salt),
    commitment: approval.parameters,
    policy_sha256: approval.policy_sha256,
    created_at: approval.createdAt,
    expires_at: approval.expiresAt,
    answered_at: approval.answeredAt,
    approval: approval.envelope,
    used_by: approval.usedBy,
  };
}

function statusOf({ answer, usedBy, expiresAt }: ApprovalState, now: number): ApprovalView["status"] {
  if (usedBy !== null) return "used";
  if (answer === "deny") return "denied";
  if (now >= expiresAt) return "expired";
  return answer === "approve" ? "approved" : "pending";
}
