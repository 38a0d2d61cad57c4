/** HTTP API: the keys of the authority, and what an operator does to them. */
import { z } from "zod";

const kind = z.enum(["root", "intermediate", "jwt", "wit"]);
const keyId = z.string().regex(/^[0-9a-f]{40}$/);
const reason = z.string().max(512).default("");

/** One key of the authority. Times are Unix seconds. */
const authorityKey = z.object({
  id: z.string().describe("key identifier, hex"),
  kind,
  state: z.enum(["prepared", "active", "superseded", "retired", "tainted", "revoked"]),
  custody: z.enum(["sealed", "pkcs11", "aws-kms"]),
  issuer_id: z.string().nullable().describe("the root of an intermediate"),
  expires_at: z.number().int().nullable(),
  prepared_at: z.number().int(),
  activated_at: z.number().int().nullable(),
  superseded_at: z.number().int().nullable(),
  usable_at: z.number().int().nullable().describe("when a prepared key may be activated without force"),
  retirable_at: z.number().int().nullable().describe("when all that a superseded key signed has ended"),
});

/** `GET /v1/authority` (operator) */
export const authorityAnswer = z.object({
  trust_domain: z.string(),
  sequence: z.number().int().describe("rises with every step; also the bundle's"),
  authorities_sha256: z.string(),
  renew: z.array(z.string()).describe("intermediates whose SVIDs must be renewed now"),
  keys: z.array(authorityKey),
});
export type AuthorityAnswer = z.infer<typeof authorityAnswer>;

/** `POST /v1/authority/steps` (operator) */
export const authorityStepRequest = z.discriminatedUnion("step", [
  z.strictObject({ step: z.literal("prepare"), kind, reason }),
  z.strictObject({
    step: z.literal("activate"),
    kind,
    force: z.boolean().default(false).describe("not to wait until the key was published for long enough"),
    reason,
  }),
  z.strictObject({
    step: z.literal("rotate"),
    kind,
    force: z
      .boolean()
      .default(false)
      .describe("to activate at once, and to have every SVID of the old key renewed"),
    reason,
  }),
  z.strictObject({
    step: z.literal("retire"),
    id: keyId,
    force: z.boolean().default(false).describe("although SVIDs of it may still be valid"),
    reason,
  }),
  z.strictObject({ step: z.literal("taint"), id: keyId, reason }),
  z.strictObject({ step: z.literal("revoke"), id: keyId, reason }),
]);
export type AuthorityStepRequest = z.output<typeof authorityStepRequest>;

export const authorityStepAnswer = authorityAnswer.extend({
  event_ids: z.array(z.string()).describe("one event a step"),
  epoch: z.number().int(),
  acked: z.number().int().describe("verifiers and nodes that confirmed the last step"),
  expired: z.number().int().describe("leases that ran out instead"),
  elapsed_ms: z.number(),
  recorded: z.boolean(),
});
export type AuthorityStepAnswer = z.infer<typeof authorityStepAnswer>;

/** `GET /v1/successions` (public) */
export const successionList = z.object({
  successions: z
    .array(z.string())
    .describe("DSSE envelopes, signed by roots: which set of roots follows which"),
});
export type SuccessionList = z.infer<typeof successionList>;
