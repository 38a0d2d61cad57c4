/** HTTP API: secrets of the broker. Values go in and never come out; no answer has a member for one. */
import { z } from "zod";

const MAX_VALUE_CHARS = 4096;
/** A week: longer, and two versions would be in use for good. */
const MAX_GRACE_SECONDS = 604_800;

const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/);
const value = z.string().max(MAX_VALUE_CHARS).describe("write-only");
const reason = z.string().max(512).default("");
const kind = z.enum(["static", "canary", "oauth"]);
const upstreams = z.array(z.strictObject({ name: z.string().max(63), origin: z.string().max(512) })).max(32);
const agents = z
  .array(z.string().max(256))
  .max(64)
  .describe(
    "agent:<path>/<name> or owner:<id>, with the wildcards of scopes; every agent of a chain must match",
  );
const injection = z
  .discriminatedUnion("as", [
    z.strictObject({ as: z.literal("header"), name: z.string().max(64), template: z.string().max(264) }),
    z.strictObject({ as: z.literal("basic"), user: z.string().max(128) }),
    z.strictObject({ as: z.literal("query"), name: z.string().max(64) }),
  ])
  .nullable();
const source = z.record(z.string().max(64), z.json()).describe("what the kind needs besides; nothing secret");
const graceSeconds = z.number().int().min(0).max(MAX_GRACE_SECONDS).default(0);

/** `POST /v1/secrets` (operator) */
export const secretRequest = z.strictObject({
  name,
  kind: kind.default("static"),
  value: value.default("").describe("write-only; empty where the kind needs none"),
  upstreams: upstreams.default([]),
  agents: agents.default([]).describe("nobody by default"),
  injection: injection.default(null),
  source: source.default({}),
  reason,
});
export type SecretRequest = z.output<typeof secretRequest>;

export const secretPath = z.object({ name });
export type SecretPath = z.infer<typeof secretPath>;

/** `POST /v1/secrets/:name/versions` (operator) */
export const secretVersionRequest = z.strictObject({
  value,
  grace_seconds: graceSeconds.describe(
    "how long the version before stays, for rolling back and for its echoes",
  ),
  reason,
});
export type SecretVersionRequest = z.output<typeof secretVersionRequest>;

/** `POST /v1/secrets/:name/rollback` (operator) */
export const secretRollbackRequest = z.strictObject({ grace_seconds: graceSeconds, reason });
export type SecretRollbackRequest = z.output<typeof secretRollbackRequest>;

/** `POST /v1/secrets/:name/scope` (operator): what is not given stays. */
export const secretScopeRequest = z.strictObject({
  upstreams: upstreams.optional(),
  agents: agents.optional(),
  injection: injection.optional(),
  reason,
});
export type SecretScopeRequest = z.output<typeof secretScopeRequest>;

/** `POST /v1/secrets/:name/{disabling,enabling,removal}` (operator) */
export const secretStateRequest = z.strictObject({ reason });
export type SecretStateRequest = z.output<typeof secretStateRequest>;

/** One secret, without its value. Times are Unix seconds. */
export const secretAnswer = z.object({
  name: z.string(),
  secret_id: z.string(),
  kind,
  is_disabled: z.boolean(),
  upstreams,
  agents: z.array(z.string()),
  injection,
  source: z.record(z.string(), z.json()),
  created_at: z.number().int(),
  changed_at: z.number().int(),
  versions: z
    .array(
      z.object({
        version: z.number().int(),
        key_id: z.string().describe("key-encryption key"),
        created_at: z.number().int(),
        ends_at: z.number().int().nullable().describe("when it is destroyed; null for the one in use"),
      }),
    )
    .describe("latest first"),
});
export type SecretAnswer = z.infer<typeof secretAnswer>;

/** `GET /v1/secrets` (operator) */
export const secretList = z.object({ secrets: z.array(secretAnswer) });
export type SecretList = z.infer<typeof secretList>;

/** `POST /v1/secrets/:name/removal` (operator) */
export const secretRemoval = z.object({ name: z.string(), secret_id: z.string() });
export type SecretRemoval = z.infer<typeof secretRemoval>;

/** `POST /v1/secret-keys/rotation` (operator) */
export const secretKeyRequest = z.strictObject({
  begin: z
    .boolean()
    .default(false)
    .describe("make the next key; without it, go on with what is not under the latest"),
  reason,
});
export type SecretKeyRequest = z.output<typeof secretKeyRequest>;

/** `GET /v1/secret-keys`, `POST /v1/secret-keys/rotation` (operator) */
export const secretKeyAnswer = z.object({
  key_id: z.string().nullable().describe("in use; null before the first secret"),
  remaining: z.number().int().describe("versions that are not under it yet"),
  keys: z.array(z.object({ id: z.string(), versions: z.number().int(), is_here: z.boolean() })),
});
export type SecretKeyAnswer = z.infer<typeof secretKeyAnswer>;
