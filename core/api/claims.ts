/** HTTP API: an agent registers itself, and a human who reads its claim code answers for it. */
import { z } from "zod";
import { WORK } from "../agentid/registration-work.ts";

const ID = z.string().regex(/^clm_[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
const envelope = z.string().min(1).max(4096);
const base64url = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[A-Za-z0-9_-]+$/);
const code = z.string().min(1).max(64).describe("as the agent showed it; dashes and case do not matter");

/** What an agent asks to be. Nobody has agreed to any of it. */
export const claimWish = z.strictObject({
  path: z.string().max(512).describe("segments joined by /, empty for none"),
  name: z.string().min(1).max(64),
  scope: z.array(z.string().max(512)).max(64),
  ttl_seconds: z.number().int().min(60).max(31_536_000).describe("lifetime of the instance"),
  owner: z
    .string()
    .regex(/^own_[0-7][0-9A-HJKMNP-TV-Z]{25}$/)
    .nullable()
    .describe("the only owner who may claim it; null for whoever has the code"),
});
export type ClaimWish = z.infer<typeof claimWish>;

/** `POST /v1/claims`: the possession's `enrolment_sha256` is the digest of JCS(wish). */
export const claimRequest = z.strictObject({
  wish: claimWish,
  spki: base64url.describe("SubjectPublicKeyInfo DER of the P-256 key that is to be the agent's"),
  possession: envelope.describe("DSSE proof of possession over nonce, key and wish"),
  work: z
    .union([z.literal(""), z.string().regex(WORK)])
    .default("")
    .describe("what `trustwarden-work` of a refusal asked for; empty for none"),
});
export type ClaimRequest = z.output<typeof claimRequest>;

export const claimAnswer = z.object({
  claim_id: ID,
  code: z.string().describe("for the human who is to answer; shown once, kept as a digest"),
  expires_at: z.number().int().describe("Unix seconds"),
});
export type ClaimAnswer = z.infer<typeof claimAnswer>;

/** `POST /v1/claims/collection`: the possession's `enrolment_sha256` is the digest of the claim's id. */
export const claimCollection = z.strictObject({ claim_id: ID, spki: base64url, possession: envelope });
export type ClaimCollection = z.infer<typeof claimCollection>;

export const collectedClaim = z.object({
  owner_id: z.string(),
  ticket: z.string().describe("DSSE ticket that only the key of the registration may use"),
});
export type CollectedClaim = z.infer<typeof collectedClaim>;

/** `POST /v1/claims/search` (owner): a code is no part of an address. */
export const claimSearch = z.strictObject({ code });
export type ClaimSearch = z.infer<typeof claimSearch>;

export const claimView = claimWish.omit({ owner: true }).extend({
  claim_id: ID,
  thumbprint: z.string().describe("RFC 7638, of the key that the ticket has to name"),
  expires_at: z.number().int().describe("Unix seconds"),
});
export type ClaimView = z.infer<typeof claimView>;

/** `POST /v1/claims/acceptance` (owner) */
export const claimAcceptance = z.strictObject({
  code,
  ticket: z
    .string()
    .min(1)
    .max(8192)
    .describe("DSSE ticket with `holder_thumbprint`, signed by the owner; no more than was asked for"),
});
export type ClaimAcceptance = z.infer<typeof claimAcceptance>;

export const acceptedClaim = z.object({
  claim_id: ID,
  owner_id: z.string(),
  path: z.string(),
  name: z.string(),
  scope: z.array(z.string()),
});
export type AcceptedClaim = z.infer<typeof acceptedClaim>;
