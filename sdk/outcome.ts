/** Signs what came of an action, as the enforcement point that saw it. */
import type { Receipt } from "@trustwarden/core/api/action.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime, type OutcomeRecord } from "@trustwarden/core/event.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

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
  const record: OutcomeRecord = {
    v: 1,
    event_id: receipt.event_id,
    intent_sha256: receipt.intent_sha256,
    decision_index: receipt.decision_index,
    status,
    result: null,
    bytes,
    duration_ms: Math.max(0, Math.round(durationMs)),
    time: formatTime(nowMs),
  };
  return issueEnvelope("outcome", { ...record }, signer, keyid);
}
