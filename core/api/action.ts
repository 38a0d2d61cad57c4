/** HTTP API: the guard's client. A service (or the agent itself) asks for a decision and reports the outcome. */
import { z } from "zod";
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { presentedApproval } from "./approval.ts";

const envelope = z.string().min(1).max(65_535);

/** Outcomes in one request: about 15 ms of signature checks on one core, 220 KB as the SDK writes them. */
export const MAX_OUTCOMES = 256;

/** `POST /v1/decisions` (socket: the verifier named in the intent's `aud`, or the agent itself for `self`) */
export const decisionRequest = z.strictObject({
  intent: envelope,
  svid_chain: z
    .array(z.string().max(8192))
    .min(1)
    .max(4)
    .describe("the agent's certificates, base64url DER, leaf first"),
  effects: z
    .strictObject({
      reads: z.array(z.string().min(1).max(32)).max(16).describe("labels that reading it puts on the job"),
      outside: z.boolean().describe("whether it carries anything to where others read it"),
    })
    .optional()
    .describe(
      "what the enforcement point's own table says; without it, what is more than a read goes outside",
    ),
  approval: presentedApproval.optional(),
});
export type DecisionRequest = z.infer<typeof decisionRequest>;

/** A decision and the ledger's promise. A deny is HTTP 200 with `allow: false`. */
export const decisionAnswer = z.object({
  allow: z.boolean(),
  reasons: z.array(z.string()),
  class: z.enum(["A", "B", "C"]),
  epoch: z.number().int(),
  enforcement: z.enum(["gateway", "service", "self"]),
  agent: z.object({
    spiffe_id: z.string(),
    agent_id: z.string(),
    instance_id: z.string(),
    owner_id: z.string(),
    chain: z.array(z.string()),
    chain_instances: z
      .array(z.string())
      .describe("instance ids from the root down; what a revocation may name"),
  }),
  receipt: z.object({
    event_id: z.string(),
    intent_sha256: z.string(),
    decision: z.string().describe("DSSE decision record, exactly as logged"),
    decision_index: z.number().int(),
    acknowledgement: z.string().describe("signed note: the ledger's promise for decision_index"),
  }),
});
export type DecisionAnswer = z.infer<typeof decisionAnswer>;
export type Receipt = DecisionAnswer["receipt"];

/** A receipt as the value of a `TrustWarden-Receipt` header. */
export function formatReceiptHeader(receipt: Receipt): string {
  return encodeBase64url(encodeUtf8(JSON.stringify(receipt)));
}

/** `POST /v1/outcomes` (the verifier named in `aud`; the agent itself for `self`) */
export const outcomeRequest = z.union([
  z.strictObject({ outcome: envelope }),
  z.strictObject({
    outcomes: z
      .array(envelope)
      .min(1)
      .max(MAX_OUTCOMES)
      .describe("recorded together, when each of them would be"),
  }),
]);
export type OutcomeRequest = z.infer<typeof outcomeRequest>;
export const outcomeAnswer = z.object({
  index: z.number().int(),
  acknowledgement: z.string().nullable().describe("null when this very outcome was recorded long before"),
});
export type OutcomeAnswer = z.infer<typeof outcomeAnswer>;
/** For several: their places, in order, without a promise for each. */
export const outcomesAnswer = z.object({ indexes: z.array(z.number().int()) });
export type OutcomesAnswer = z.infer<typeof outcomesAnswer>;
