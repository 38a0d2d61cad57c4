/** HTTP API: what operators keep of calls to models, and its erasure. */
import { z } from "zod";

/** What the store itself parses: a malformed one is no file's name. */
export const payloadPath = z.object({ event_id: z.string().min(1).max(64) });
export type PayloadPath = z.infer<typeof payloadPath>;

/** `GET /v1/payloads/:event_id` (operator): a prompt and its answer, and what they are committed to in the ledger. */
export const payloadAnswer = z.object({
  event_id: z.string(),
  method: z.string(),
  target: z.string(),
  request: z.string().describe("base64url"),
  answer: z.string().describe("base64url; as the caller got it"),
  salt: z.string().nullable().describe("base64url; opens both commitments"),
  request_commitment: z.string().nullable().describe("equals `request` of the intent"),
  answer_commitment: z.string().nullable().describe("equals `result` of the outcome"),
});
export type PayloadAnswer = z.infer<typeof payloadAnswer>;

/** `POST /v1/payloads/:event_id/erasure` (operator) */
export const erasureRequest = z.strictObject({
  reason: z
    .string()
    .min(1)
    .max(256)
    .describe("why, such as the legal basis; goes into the ledger, names nobody"),
});
export type ErasureRequest = z.output<typeof erasureRequest>;

export const erasureAnswer = z.object({ event_id: z.string(), erased: z.literal(true) });
export type ErasureAnswer = z.infer<typeof erasureAnswer>;
