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

/** Decisions that a replay looks at when it is not said, and at most. */
const REPLAYED = { byDefault: 10_000, most: 100_000 };
const EFFECTS = ["allow", "ask", "deny"] as const;
const UNRECORDED = ["arguments", "labels", "outside", "frozen", "selectors", "policy"] as const;

/** `POST /v1/policy/replays` (operator): what a draft would have decided. */
export const replayRequest = z.strictObject({
  bundle: z.string().min(1).max(MAX_BUNDLE_CHARS).describe("base64 of a bundle, signed or not, a .tar.gz"),
  limit: z
    .number()
    .int()
    .min(1)
    .max(REPLAYED.most)
    .default(REPLAYED.byDefault)
    .describe("how many recorded decisions, from the newest on"),
  since: z.string().max(32).optional().describe("RFC 3339"),
  until: z.string().max(32).optional().describe("RFC 3339"),
});
export type ReplayRequest = z.output<typeof replayRequest>;

const replayChange = z.object({
  event_id: z.string(),
  timestamp: z.string(),
  agent_id: z.string(),
  agent_identity: z.string(),
  action: z.string(),
  resource: z.string(),
  before: z.enum(EFFECTS),
  after: z.enum(EFFECTS),
  reasons_before: z.array(z.string()),
  reasons_after: z.array(z.string()),
});
export type ReplayChange = z.infer<typeof replayChange>;

const replayResult = z.object({
  decisions: z.number().int().describe("recorded decisions that were looked at"),
  same: z.number().int(),
  changed: z.array(z.object({ before: z.enum(EFFECTS), after: z.enum(EFFECTS), count: z.number().int() })),
  not_replayed: z.number().int().describe("the draft looks at something that the ledger does not have"),
  needs: z
    .array(z.object({ member: z.enum(UNRECORDED), count: z.number().int() }))
    .describe("what it looked at, and in how many decisions"),
  not_listed: z.number().int().describe("changes beyond the first thousand"),
  has_more: z.boolean().describe("whether older decisions were left out by the limit"),
});
export type ReplayResult = z.infer<typeof replayResult>;

/** One line of the answer: NDJSON, ended by `result` or `error`. Whoever closes the connection ends the replay. */
export const replayLine = z.union([
  z.strictObject({
    draft: z.object({ name: z.string(), version: z.number().int(), policy_sha256: z.string() }),
  }),
  z.strictObject({ progress: z.object({ decisions: z.number().int(), of: z.number().int() }) }),
  z.strictObject({ change: replayChange }),
  z.strictObject({ result: replayResult }),
  z.strictObject({ error: z.object({ code: z.string(), message: z.string() }) }),
]);
export type ReplayLine = z.infer<typeof replayLine>;
