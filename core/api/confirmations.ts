/** HTTP API: what one admin asks and a second one confirms. */
import { z } from "zod";
import { authenticationResponse } from "./people.ts";

/** The largest body of a row that needs a second admin, a policy, as text of a text. */
const MAX_BODY_CHARS = 1_500_000;
/** Room for the request around it. */
export const MAX_CONFIRMATION_BYTES = 1_600_000;

const confirmationId = z.string().regex(/^cnf_[0-9A-HJKMNP-TV-Z]{26}$/);

/** `:id` of a confirmation. */
export const confirmationPath = z.object({ id: z.string().min(1).max(64) });

/** `POST /v1/confirmations` */
export const confirmationRequest = z.strictObject({
  method: z.enum(["GET", "POST"]),
  target: z
    .string()
    .max(2048)
    .regex(/^\/[\x21-\x7e]*$/)
    .describe("path and query, exactly as they will be sent"),
  body: z.string().max(MAX_BODY_CHARS).default("").describe("the exact text; empty for GET"),
  reason: z
    .string()
    .min(1)
    .max(256)
    .regex(/^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]+$/u)
    .describe("what the second admin is told; not in the ledger"),
});
export type ConfirmationRequest = z.infer<typeof confirmationRequest>;

/** A request that waits for a second admin, or was answered. */
export const confirmationView = z.object({
  id: confirmationId,
  asked_by: z.string().describe("person:prs_… or operator"),
  method: z.enum(["GET", "POST"]),
  target: z.string(),
  digest: z.string().describe("base64url SHA-256 of method, target, body and a salt"),
  challenge: z.string().describe("what the second admin's passkey signs"),
  reason: z.string(),
  state: z.enum(["pending", "confirmed", "refused", "used", "expired"]),
  answered_by: z.string().nullable().describe("prs_…"),
  created_at: z.number().int(),
  expires_at: z.number().int(),
});
export type ConfirmationView = z.infer<typeof confirmationView>;

/** `GET /v1/confirmations/:id`: with the body, so that who confirms sees what it is. */
export const confirmationDetail = confirmationView.extend({
  body: z.string(),
  salt: z.string().describe("base64url; goes into the digest and not into the ledger"),
});
export type ConfirmationDetail = z.infer<typeof confirmationDetail>;

/** `GET /v1/confirmations` */
export const confirmationList = z.object({ confirmations: z.array(confirmationView) });
export type ConfirmationList = z.infer<typeof confirmationList>;

/** `POST /v1/confirmations/:id/answer`: a yes is signed, a no is not. */
export const confirmationAnswer = z.discriminatedUnion("answer", [
  z.strictObject({ answer: z.literal("confirm"), credential: authenticationResponse }),
  z.strictObject({ answer: z.literal("refuse") }),
]);
export type ConfirmationAnswer = z.infer<typeof confirmationAnswer>;
