/**
 * Puts an action that was answered with `ask` before its owner: exactly this call, with what it would do in the clear
 * for the human, and as a salted commitment for the ledger.
 *
 * For the agent itself (`POST /v1/approvals`), and for the gateway, which knows what a call means.
 */
import { MAX_SHOWN_BODY_CHARS } from "@trustwarden/core/api/approval.ts";
import {
  commitToParameters,
  formatParameters,
  MAX_APPROVAL_SECONDS,
  type Parameters,
} from "@trustwarden/core/approval.ts";
import { encodeUtf8, isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { AgentPrincipal, Enforcement } from "@trustwarden/core/principal.ts";
import type { ApprovalCommands } from "../store/approval-ports.ts";
import type { CommandContext, Committed } from "../store/ports.ts";

/** A human reads it; larger arguments cannot be approved by hand. */
const MAX_PARAMETERS_CHARS = 65_536;
const SALT_BYTES = 32;

/** One action that the policy wants a human to see. */
export interface ActionToApprove {
  readonly agent: AgentPrincipal;
  /** `event_id` and digest of the intent that was decided about, and what it asked for. */
  readonly intent: {
    readonly eventId: string;
    readonly sha256: string;
    readonly action: string;
    readonly resource: string;
    readonly audience: string;
  };
  readonly enforcement: Enforcement;
  readonly reasons: readonly string[];
  /** base64url; of the policy that asked. */
  readonly policySha256: string;
  readonly parameters: Parameters;
  /** Text of the request's body; null where there is none to show. */
  readonly body: string | null;
  readonly expiresInSeconds: number;
}

/** The body for a human to read, or null where it is no text or too long. */
export function shownBody(body: Uint8Array): string | null {
  if (body.length === 0 || body.length > MAX_SHOWN_BODY_CHARS) return null;
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
  return isEqualBytes(encodeUtf8(text), body) ? text : null;
}

/** What asking needs. */
export interface RequestingServices {
  readonly random: Random;
  readonly commands: Pick<ApprovalCommands, "createApproval">;
  readonly ledger: { settle(committed: Committed<unknown>): Promise<unknown> };
}

/**
 * Asks; durable, in the store and in the ledger, when it returns.
 *
 * @throws TrustWardenError `approval_exists`, `approvals_pending`, `request_too_large`, or what a dead instance is
 *   refused with.
 */
export async function requestApproval(
  services: RequestingServices,
  { asked, context }: { readonly asked: ActionToApprove; readonly context: CommandContext },
): Promise<{ readonly id: string; readonly expiresAt: number }> {
  const { agent, intent, parameters, policySha256 } = asked;
  const parametersText = formatParameters(parameters);
  if (parametersText.length > MAX_PARAMETERS_CHARS)
    throw new TrustWardenError("request_too_large", { chars: parametersText.length });
  const salt = services.random(SALT_BYTES);
  const createdAt = Math.floor(context.nowMs / 1000);
  const expiresAt = createdAt + Math.min(asked.expiresInSeconds, MAX_APPROVAL_SECONDS);
  const request = {
    id: intent.eventId,
    intent_sha256: intent.sha256,
    owner: agent.ownerId,
    agent: agent.spiffeId,
    agentId: agent.agentId,
    instanceId: agent.instanceId,
    action: intent.action,
    resource: intent.resource,
    audience: intent.audience,
    enforcement: asked.enforcement,
    reasons: asked.reasons,
    parameters: commitToParameters(parameters, salt),
    parametersText,
    policy_sha256: policySha256,
    body: asked.body,
    salt,
    createdAt,
    expiresAt,
  };
  await services.ledger.settle(await services.commands.createApproval({ context, request }));
  return { id: request.id, expiresAt };
}
