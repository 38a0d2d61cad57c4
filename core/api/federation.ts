/** HTTP API: relationships with other trust domains, and the map of all bundles. */
import { z } from "zod";

const MAX_BUNDLE_CHARS = 65_536;
const trustDomain = z.string().regex(/^[a-z0-9._-]{1,255}$/);
const bundleText = z.string().min(1).max(MAX_BUNDLE_CHARS).describe("SPIFFE bundle document, JSON text");

/** `POST /v1/federations` (operator) */
export const federationRequest = z.strictObject({
  trust_domain: trustDomain,
  endpoint: z
    .strictObject({
      profile: z.enum(["https_web", "https_spiffe"]),
      url: z.string().min(1).max(2048),
      endpoint_spiffe_id: z.string().max(2048).nullable().default(null).describe("for https_spiffe"),
      web_ca: z
        .string()
        .max(65_536)
        .nullable()
        .default(null)
        .describe("PEM; for https_web, instead of the web's"),
    })
    .nullable()
    .describe("null when the bundle is set by hand"),
  bundle: bundleText
    .nullable()
    .default(null)
    .describe("the first one; required unless the profile is https_web"),
});
export type FederationRequest = z.output<typeof federationRequest>;

/** `POST /v1/federations/:trust_domain/bundle` (operator) */
export const federatedBundleRequest = z.strictObject({ bundle: bundleText });
export type FederatedBundleRequest = z.infer<typeof federatedBundleRequest>;

export const federationPath = z.object({ trust_domain: trustDomain });
export type FederationPath = z.infer<typeof federationPath>;

/** One relationship. */
export const federationAnswer = z.object({
  trust_domain: z.string(),
  profile: z.enum(["https_web", "https_spiffe"]).nullable(),
  url: z.string().nullable(),
  endpoint_spiffe_id: z.string().nullable(),
  sequence: z.number().int().nullable().describe("of the bundle at hand; null without one"),
  x509_authorities: z.number().int(),
  jwt_authorities: z.number().int(),
  refresh_seconds: z.number().int(),
  changed_at: z.number().int().nullable().describe("Unix seconds when the bundle last changed"),
  fetched_at: z.number().int().nullable().describe("Unix seconds of the last good fetch since the start"),
  failure: z.string().nullable().describe("code of the last fetch, when it failed"),
});
export type FederationAnswer = z.infer<typeof federationAnswer>;

/** `GET /v1/federations` (operator) */
export const federationList = z.object({ federations: z.array(federationAnswer) });
export type FederationList = z.infer<typeof federationList>;

/** `POST /v1/federations/:trust_domain/removal` (operator) */
export const federationRemoval = z.object({ trust_domain: z.string(), epoch: z.number().int() });
export type FederationRemoval = z.infer<typeof federationRemoval>;

/** `POST /v1/foreign-agents` (owner) */
export const foreignAgentRequest = z.strictObject({
  registration: z
    .string()
    .min(1)
    .max(65_535)
    .describe("DSSE entry of kind foreign, signed by the owner's key"),
});
export type ForeignAgentRequest = z.infer<typeof foreignAgentRequest>;

/** The foreign workload as an agent of ours. */
export const foreignAgentAnswer = z.object({
  agent_id: z.string(),
  instance_id: z.string(),
  owner_id: z.string(),
  spiffe_id: z.string(),
  scope: z.array(z.string()),
  chain: z.array(z.string()),
  expires_at: z.number().int().describe("Unix seconds"),
  value: z.string().describe("twf1.: what the workload needs to act here; holds no secret"),
});
export type ForeignAgentAnswer = z.infer<typeof foreignAgentAnswer>;
