/** Signs what came of an action, as the enforcement point that saw it, and tells the server. */
import type { Agent } from "node:https";
import { outcomesAnswer, type Receipt } from "@trustwarden/core/api/action.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime, type OutcomeRecord } from "@trustwarden/core/event.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { encodeBody, type TrustServer } from "./trust-server.ts";

/** What is known when an action is over. */
export interface FinishedAction {
  readonly receipt: Receipt;
  readonly status: OutcomeRecord["status"];
  /** Bytes of the answer. */
  readonly bytes: number;
  readonly durationMs: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/** The outcome's envelope text. @param keyid - base64url SHA-256 of the signer's SVID. */
export function issueOutcome(finished: FinishedAction, signer: Signer, keyid: string): string {
  const { receipt, status, bytes, durationMs, nowMs } = finished;
  // In the order of the canonical form, which is then written without sorting.
  const record: OutcomeRecord = {
    bytes,
    decision_index: receipt.decision_index,
    duration_ms: Math.max(0, Math.round(durationMs)),
    event_id: receipt.event_id,
    intent_sha256: receipt.intent_sha256,
    result: null,
    status,
    time: formatTime(nowMs),
    v: 1,
  };
  return issueEnvelope("outcome", { ...record }, signer, keyid);
}

/**
 * Has the server record outcomes, all of them or none.
 *
 * @param agent - connections with the SVID of whoever signed.
 * @throws TrustWardenError the server's refusal, `server_unreachable`.
 */
export async function sendOutcomes(
  server: TrustServer,
  agent: Agent,
  outcomes: readonly string[],
): Promise<void> {
  // In the form for several also for one: the other form promises its place, which costs a signature that nobody reads.
  const body = encodeBody({ outcomes: [...outcomes] });
  await server.call({ agent, method: "POST", target: "/v1/outcomes", body, schema: outcomesAnswer });
}
