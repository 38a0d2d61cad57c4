/** HTTP API: the policies in force, and custom ones on their way there. */
import { z } from "zod";

/** Base64 of the largest bundle that is taken, a compressed tar of a megabyte. */
const MAX_BUNDLE_CHARS = 1_400_000;
/** Room for the body of `POST /v1/policy`. */
export const MAX_POLICY_BODY_BYTES = 1_500_000;

/** `POST /v1/policy` (operator) */
export const policyRequest = z.strictObject({
  bundle: z.string().min(1).max(MAX_BUNDLE_CHARS).describe("base64 of the signed bundle, a .tar.gz"),
});
export type PolicyRequest = z.infer<typeof policyRequest>;

/** The policy is in force; every lease has its epoch or ran out. */
export const policyLoadAnswer = z.object({
  name: z.string(),
  version: z.number().int(),
  bundle_sha256: z.string(),
  epoch: z.number().int(),
  acked: z.number().int(),
  expired: z.number().int(),
  event_id: z.string(),
});
export type PolicyLoadAnswer = z.infer<typeof policyLoadAnswer>;

/** `GET /v1/policy` (operator) */
export const policyAnswer = z.object({
  in_force: z
    .array(z.object({ name: z.string(), bundle_sha256: z.string() }))
    .describe("every policy that has a say in what agents do; the built-in one first"),
  custom: z
    .object({
      name: z.string(),
      version: z.number().int(),
      key_id: z.string(),
      bundle_sha256: z.string(),
      loaded_at: z.number().int(),
    })
    .nullable()
    .describe("the custom policy that was loaded last"),
  bundle_key: z
    .object({ id: z.string(), pem: z.string() })
    .describe("signs the built-in bundle and discovery for stock OPAs"),
});
export type PolicyAnswer = z.infer<typeof policyAnswer>;
