/**
 * The server's answer to "may it?", as a decision and as a proven record.
 *
 * The decision is taken from the signed record inside the receipt, never from the unsigned members beside it.
 */

import type { Agent } from "node:https";
import { type DecisionAnswer, decisionAnswer } from "@trustwarden/core/api/action.ts";
import type { OpenedApproval } from "@trustwarden/core/approval.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { type Decision, effectOf } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { DecisionRecord } from "@trustwarden/core/event.ts";
import type { OpenedReceipt } from "./receipt.ts";
import { encodeBody, type TrustServer } from "./trust-server.ts";

/** One round trip to the server and its durable write. */
const TIMEOUT_MS = 5000;

/**
 * Asks for one decision, once: an intent that was sent is never sent again.
 *
 * @param options.svidChain - the agent's, DER, leaf first.
 * @throws TrustWardenError the server's refusal, `server_unreachable`.
 */
export function askForDecision(
  server: TrustServer,
  options: {
    readonly agent: Agent;
    readonly intent: string;
    readonly svidChain: readonly Uint8Array[];
    /** What the service's own table says that the action does. */
    readonly effects?: { readonly reads: readonly string[]; readonly outside: boolean };
    readonly approval?: OpenedApproval;
    readonly timeoutMs?: number;
  },
): Promise<DecisionAnswer> {
  const { agent, intent, svidChain, effects, approval, timeoutMs = TIMEOUT_MS } = options;
  const body = encodeBody({
    intent,
    svid_chain: svidChain.map(encodeBase64url),
    ...(effects && { effects: { ...effects, reads: [...effects.reads] } }),
    ...(approval && { approval: { ...approval, parameters: { ...approval.parameters } } }),
  });
  return server.call({
    agent,
    method: "POST",
    target: "/v1/decisions",
    body,
    schema: decisionAnswer,
    timeoutMs,
  });
}

/** The decision of an answer; still to be proven by `requireProven`. */
export function decisionOf({ unverifiedDecision: record }: OpenedReceipt): Decision {
  return {
    effect: record.allow ? "allow" : record.reasons.length === 0 ? "deny" : effectOf(record.reasons),
    reasons: record.reasons,
    class: record.class,
    policy: { name: record.policy.name, bundleSha256: record.policy.bundle_sha256 },
    epoch: record.lease_epoch,
  };
}

/**
 * Refuses an answer that says something else beside its receipt than the signed record in it.
 *
 * @throws TrustWardenError `receipt_invalid`.
 */
export function requireProven(
  answer: DecisionAnswer,
  { record, spiffeId }: { readonly record: DecisionRecord; readonly spiffeId: string },
): void {
  const { allow, epoch, enforcement, agent } = answer;
  const isSame =
    allow === record.allow &&
    epoch === record.lease_epoch &&
    enforcement === record.enforcement &&
    answer.class === record.class &&
    agent.spiffe_id === spiffeId &&
    agent.chain.join() === record.chain.join();
  if (!isSame) throw new TrustWardenError("receipt_invalid", { reason: "answer differs from its record" });
}
