/**
 * Asks a human, takes the answer, uses it up once; keeps what a job has read; freezes and thaws.
 *
 * The answer's signature was verified before. That an approval is unused, unexpired and for exactly this call is checked
 * in the transaction that uses it, together with the life of the instance: an approval dies with its agent.
 */
import { formatApprovalReference, parseUnverifiedApproval } from "@trustwarden/core/approval.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ApprovalReference } from "@trustwarden/core/event.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import type {
  AddLabelsCommand,
  AnswerApprovalCommand,
  ApprovalState,
  CreateApprovalCommand,
  Freeze,
  SetFreezeCommand,
  UseApprovalCommand,
} from "../approval-ports.ts";
import { findApproval, readFreeze } from "../approval-rows.ts";
import type { ControlDraft, InstanceState } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine, lineOf } from "../sqlite-instance.ts";
import { acceptOwnersAssertion, isOwnersPasskey } from "./deposit-ticket.ts";
import { type CommandResult, secondsOf } from "./deps.ts";
import { advanceEpoch } from "./epoch.ts";
import { verifyLiveInstance } from "./live-instance.ts";

/** Calls of one instance that wait at a time; a human reads them one by one. */
const MAX_PENDING_PER_INSTANCE = 16;
const MAX_PENDING_PER_OWNER = 256;
/** What ended is of use to nobody but the ledger; parameters may be personal. */
const KEPT_SECONDS = 86_400;
const MAX_REMOVED = 100;
/** A stop for everybody takes effect everywhere. */
const EVERY_DECISION = { kind: "policy", id: "*" } as const;

const INSERT = `
  INSERT INTO approvals (approval_id, owner_id, instance_id, request, parameters, body, salt, created_at, expires_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const COUNT_OF_INSTANCE = `
  SELECT COUNT(*) AS count FROM approvals WHERE instance_id = ? AND expires_at > ? AND answer IS NULL`;
const COUNT_OF_OWNER = `
  SELECT COUNT(*) AS count FROM approvals WHERE owner_id = ? AND expires_at > ? AND answer IS NULL`;
const REMOVE = `
  DELETE FROM approvals WHERE approval_id IN
    (SELECT approval_id FROM approvals WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;
const ANSWER = "UPDATE approvals SET answer = ?, answered_at = ?, envelope = ? WHERE approval_id = ?";
const USE = "UPDATE approvals SET used_by = ? WHERE approval_id = ? AND used_by IS NULL";
const ADD_LABEL = "INSERT INTO labels (holder, label, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
const FREEZE = `
  INSERT INTO freezes (only_one, reason, since, until) VALUES (1, ?, ?, ?)
  ON CONFLICT DO UPDATE SET reason = excluded.reason, since = excluded.since, until = excluded.until`;
const THAW = "DELETE FROM freezes";

/** @throws TrustWardenError as `ApprovalCommands.createApproval`. */
export function createApproval(
  database: SqliteDatabase,
  { context, request }: CreateApprovalCommand,
): CommandResult<null> {
  const now = secondsOf(context);
  const { line } = verifyLiveInstance(database, request.instanceId, now);
  requireRoom(database, request, now);
  database.run(REMOVE, now - KEPT_SECONDS);
  const { id, owner, instanceId, agentId, agent, action, resource, audience, enforcement } = request;
  const { reasons, intent_sha256, parameters, policy_sha256 } = request;
  const asked = { action, resource, audience, enforcement, reasons: [...reasons], intent_sha256 };
  const kept = { ...asked, agent, agent_id: agentId, parameters, policy_sha256 };
  const { changes } = database.run(
    INSERT,
    id,
    owner,
    instanceId,
    formatCanonicalJson(kept),
    request.parametersText,
    request.body,
    request.salt,
    request.createdAt,
    request.expiresAt,
  );
  if (changes === 0) throw new TrustWardenError("approval_exists", { id });
  const details = { change: "request", ...asked, parameters, expires_at: request.expiresAt };
  return { value: null, draft: draftOf({ id, line, details }) };
}

/** @throws TrustWardenError as `ApprovalCommands.answerApproval`. */
export function answerApproval(
  database: SqliteDatabase,
  { context, id, answer, envelope, assertion }: AnswerApprovalCommand,
): CommandResult<null> {
  const now = secondsOf(context);
  const approval = findApproval(database, id);
  if (approval === undefined) throw new TrustWardenError("not_found", { kind: "approval" });
  if (approval.answer !== null) throw new TrustWardenError("approval_answered", { id });
  if (now >= approval.expiresAt) throw new TrustWardenError("approval_expired", { id });
  if (assertion !== null) acceptOwnersAssertion(database, { ownerId: approval.owner, assertion, now });
  database.run(ANSWER, answer, now, envelope, id);
  const line = lineOf(database, approval.instanceId);
  return { value: null, draft: draftOf({ id, line, details: { change: answer, approval: envelope } }) };
}

/** @throws TrustWardenError as `ApprovalCommands.useApproval`. */
export function useApproval(
  database: SqliteDatabase,
  command: UseApprovalCommand,
): CommandResult<ApprovalReference> {
  const now = secondsOf(command.context);
  const approval = findApproval(database, command.id);
  if (approval === undefined) throw new TrustWardenError("approval_unknown", { id: command.id });
  requireSameCall(approval, command);
  const { line } = verifyLiveInstance(database, command.instanceId, now);
  const { envelope } = approval;
  if (approval.answer === "deny") throw new TrustWardenError("approval_denied", { id: command.id });
  if (now >= approval.expiresAt) throw new TrustWardenError("approval_expired", { id: command.id });
  if (envelope === null) throw new TrustWardenError("approval_pending", { id: command.id });
  const signed = parseUnverifiedApproval(envelope);
  if (now >= signed.exp) throw new TrustWardenError("approval_expired", { id: command.id });
  requireStillSigner(database, approval.owner, envelope);
  if (database.run(USE, command.usedBy, command.id).changes === 0)
    throw new TrustWardenError("approval_used", { id: command.id });
  const reference = formatApprovalReference(signed, envelope);
  const details = { change: "use", used_by: command.usedBy, envelope_sha256: reference.envelope_sha256 };
  return { value: reference, draft: draftOf({ id: command.id, line, details }) };
}

/** Labels are never taken off: what was read stays read. */
export function addLabels(database: SqliteDatabase, { context, holders, labels }: AddLabelsCommand): null {
  const now = secondsOf(context);
  for (const holder of holders) for (const label of labels) database.run(ADD_LABEL, holder, label, now);
  return null;
}

/** Takes an epoch, so that no decision of before is acted on after. */
export function setFreeze(
  database: SqliteDatabase,
  { context, freeze }: SetFreezeCommand,
): CommandResult<Freeze | null> {
  if (freeze === null) database.run(THAW);
  else database.run(FREEZE, freeze.reason, secondsOf(context), freeze.until);
  advanceEpoch(database, EVERY_DECISION);
  const details =
    freeze === null ? { change: "thaw" } : { change: "freeze", reason: freeze.reason, until: freeze.until };
  const draft: ControlDraft = {
    kind: "policy",
    allow: true,
    reasons: [],
    subject: "freeze",
    chain: [],
    details,
  };
  return { value: readFreeze(database) ?? null, draft };
}

/** Nothing about a call may differ from what the human saw; which thing did is nobody's business but the ledger's. */
function requireSameCall(approval: ApprovalState, command: UseApprovalCommand): void {
  const isSame =
    approval.instanceId === command.instanceId &&
    approval.action === command.action &&
    approval.resource === command.resource &&
    approval.audience === command.audience &&
    approval.parametersText === command.parametersText &&
    approval.policy_sha256 === command.policySha256 &&
    command.reasons.every((reason) => approval.reasons.includes(reason));
  if (!isSame) throw new TrustWardenError("approval_mismatch", { id: command.id });
}

/** A passkey that was lost or stolen lets nothing more be, also by what it signed before anybody knew. A file's key has no such end. */
function requireStillSigner(database: SqliteDatabase, ownerId: string, envelope: string): void {
  const { assertion, unverifiedKeyid } = parseEnvelope(envelope);
  if (assertion === null || isOwnersPasskey(database, ownerId, unverifiedKeyid)) return;
  throw new TrustWardenError("approval_withdrawn", { reason: "the passkey is gone" });
}

function requireRoom(
  database: SqliteDatabase,
  { instanceId, owner }: { readonly instanceId: string; readonly owner: string },
  now: number,
): void {
  const ofInstance = database.get(COUNT_OF_INSTANCE, instanceId, now)?.integer("count") ?? 0;
  const ofOwner = database.get(COUNT_OF_OWNER, owner, now)?.integer("count") ?? 0;
  if (ofInstance >= MAX_PENDING_PER_INSTANCE || ofOwner >= MAX_PENDING_PER_OWNER)
    throw new TrustWardenError("approvals_pending", { ofInstance, ofOwner });
}

function draftOf(options: {
  readonly id: string;
  readonly line: readonly InstanceState[];
  readonly details: ControlDraft["details"];
}): ControlDraft {
  const { id, line, details } = options;
  return { kind: "approval", allow: true, reasons: [], subject: id, chain: formatLine(line), details };
}
