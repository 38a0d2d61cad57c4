/** HTTP API: what is behind the gateway. */
import { z } from "zod";
import { UPSTREAM_KINDS } from "../gateway/upstream.ts";
import type { JsonObject } from "../json.ts";

const name = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/);
/** Parsed again by the kind's own rules; here only that it is an object. */
export const upstreamSettings = z
  .record(z.string().max(256), z.json())
  .describe("of the kind; agents may read them");

/** `POST /v1/upstreams` (operator): registers one, or replaces it. */
export const upstreamRequest = z.strictObject({
  name,
  kind: z.enum(UPSTREAM_KINDS),
  url: z.string().min(1).max(2048).describe("https origin and base path; http on 127.0.0.1 and [::1] only"),
  ca: z.string().max(65_536).nullable().default(null).describe("PEM to trust instead of the system's"),
  allow_private: z.boolean().default(false).describe("the name may lead into the private network"),
  secret: z.string().max(128).nullable().default(null).describe("the broker's secret that goes along"),
  settings: upstreamSettings.default({}),
});
export type UpstreamRequest = z.output<typeof upstreamRequest>;

export const upstreamPath = z.object({ name });
export type UpstreamPath = z.infer<typeof upstreamPath>;

/** One upstream, as operators see it. */
export const upstreamAnswer = z.object({
  name: z.string(),
  kind: z.enum(UPSTREAM_KINDS),
  url: z.string(),
  ca: z.string().nullable(),
  allow_private: z.boolean(),
  secret: z.string().nullable().describe("its name; a value is never read back"),
  settings: upstreamSettings,
  changed_at: z.number().int(),
});
export type UpstreamAnswer = z.infer<typeof upstreamAnswer>;

/** `GET /v1/upstreams` (operator) */
export const upstreamList = z.object({ upstreams: z.array(upstreamAnswer) });
export type UpstreamList = z.infer<typeof upstreamList>;

/** `POST /v1/upstreams/:name/removal` (operator) */
export const upstreamRemoval = z.object({ name: z.string(), calls_cut: z.number().int() });
export type UpstreamRemoval = z.infer<typeof upstreamRemoval>;

/** `GET /v1/gateway` (agent): where the gateway is, and what an agent needs to plan its calls. */
export const gatewayAnswer = z.object({
  url: z.string().nullable().describe("https origin; null when this server has no gateway"),
  upstreams: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(UPSTREAM_KINDS),
      resource: z.string(),
      settings: upstreamSettings,
    }),
  ),
});
export type GatewayAnswer = z.infer<typeof gatewayAnswer>;

/** Settings as core knows JSON; zod's own type is mutable and means the same. */
export function settingsOf(value: z.output<typeof upstreamSettings>): JsonObject {
  return value;
}
