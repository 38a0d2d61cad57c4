/**
 * HTTP API: enrolment, renewal and JWT-SVIDs. The one contract between server, SDK and CLI.
 *
 * Wire members are snake_case, like the records. Binary values are unpadded base64url unless said otherwise.
 */
import { z } from "zod";
import { WORK } from "../agentid/registration-work.ts";

/** Text limits: one envelope of the ledger's maximum size. */
const envelope = z.string().min(1).max(65_535);
const base64url = z
  .string()
  .regex(/^[A-Za-z0-9_-]+$/)
  .max(8192);

/** `GET /v1/nonce` */
export const nonceAnswer = z.object({
  nonce: base64url.describe("32 random bytes, single use"),
  expires_at: z.number().int().describe("Unix seconds"),
});
export type NonceAnswer = z.infer<typeof nonceAnswer>;

const digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
/** What an agent is made of, by digest. Bound to the instance at its birth; drift asks for a new instance. */
export const composition = z
  .strictObject({
    model: digest.optional(),
    prompts: digest.optional(),
    skills: digest.optional(),
    tools: digest.optional(),
  })
  .refine((value) => Object.values(value).some((member) => member !== undefined), "empty");

/** A new key and the proof that the caller holds it. */
export const keyProof = z.strictObject({ spki: base64url, possession: envelope });
const classKey = keyProof
  .nullable()
  .describe("the key of a class SVID, proven like the instance's and under its nonce; null for none");
/** Whose name a token is in: the instance's, or its class's. */
export const namedIdentity = z.enum(["instance", "class"]);
export type NamedIdentity = z.infer<typeof namedIdentity>;

/** `POST /v1/instances`: a ticket or grant, and a proof of possession of each new key. Nothing else is read. */
export const instanceRequest = z.strictObject({
  enrolment: envelope.describe("DSSE ticket or grant"),
  possession: envelope.describe("DSSE proof of possession over nonce, key and enrolment"),
  spki: base64url.describe("SubjectPublicKeyInfo DER of the new P-256 key"),
  custody: z
    .enum(["agent", "delivered", "sidecar"])
    .default("agent")
    .describe("who holds the key; anything but agent only weakens the claim"),
  composition: composition.nullable().default(null),
  class: classKey.default(null),
  work: z
    .union([z.literal(""), z.string().regex(WORK)])
    .default("")
    .describe("what `trustwarden-work` of a refusal asked for; empty for none"),
});
export type InstanceRequest = z.output<typeof instanceRequest>;

/** Answer of enrolment and renewal. */
export const identityAnswer = z.object({
  spiffe_id: z.string(),
  agent_id: z.string().nullable().describe("null for a verifier or node"),
  instance_id: z.string(),
  owner_id: z.string().nullable(),
  name: z.string(),
  path: z.string().describe("segments joined by /, empty for none"),
  scope: z.array(z.string()),
  limits: z.object({
    depth: z.number().int(),
    fan_out: z.number().int(),
    budget: z.number().int().nullable(),
  }),
  chain: z.array(z.string()).describe("owner:<id>, then agent ids from the root down"),
  svid_chain: z.array(base64url).describe("DER certificates, leaf first, without the root"),
  svid_expires_at: z.number().int().describe("Unix seconds; renew at half life"),
  instance_expires_at: z.number().int().describe("Unix seconds; no renewal goes beyond"),
  class_svid_chain: z.array(base64url).nullable().describe("DER, leaf first; null when none was asked for"),
  ttl_shortened: z.boolean().describe("true when the lifetime was cut to the parent's remaining one"),
  event_id: z.string(),
  acknowledgement: z.string().describe("signed promise of the ledger"),
});
export type IdentityAnswer = z.infer<typeof identityAnswer>;

/** `POST /v1/svids/renew` (agent: mTLS and intent; verifier: mTLS) */
export const renewRequest = z.strictObject({
  possession: envelope,
  spki: base64url,
  composition: composition.nullable().default(null).describe("another than at birth is refused"),
  class: classKey.default(null),
});
export type RenewRequest = z.output<typeof renewRequest>;

/** `POST /v1/jwt-svids` (agent) */
export const jwtSvidRequest = z.strictObject({
  audience: z.string().min(1).max(2048),
  identity: namedIdentity.default("instance"),
});
export type JwtSvidRequest = z.output<typeof jwtSvidRequest>;
export const jwtSvidAnswer = z.object({ svid: z.string(), expires_at: z.number().int() });
export type JwtSvidAnswer = z.infer<typeof jwtSvidAnswer>;

/**
 * `POST /v1/wit-svids` (agent): a token for a key. The possession's `enrolment_sha256` is the digest of the SVID that the
 * caller acts with.
 */
export const witSvidRequest = z.strictObject({
  spki: base64url.describe(
    "SubjectPublicKeyInfo DER of a P-256 key; of the same instance before, or of nobody",
  ),
  possession: envelope,
  identity: namedIdentity.default("instance"),
});
export type WitSvidRequest = z.output<typeof witSvidRequest>;
export const witSvidAnswer = z.object({
  svid: z.string(),
  expires_at: z.number().int(),
  spiffe_id: z.string(),
});
export type WitSvidAnswer = z.infer<typeof witSvidAnswer>;

/** `GET /.well-known/openid-configuration` (public): what a relying party needs to verify our JWT-SVIDs. */
export const openIdConfiguration = z.object({
  issuer: z.string(),
  jwks_uri: z.string(),
  response_types_supported: z.array(z.string()),
  subject_types_supported: z.array(z.string()),
  id_token_signing_alg_values_supported: z.array(z.string()),
  claims_supported: z.array(z.string()),
});
export type OpenIdConfiguration = z.infer<typeof openIdConfiguration>;

/** `POST /v1/owners` (operator) */
export const ownerRequest = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/),
  spki: base64url,
});
export const ownerAnswer = z.object({ owner_id: z.string(), name: z.string() });
export type OwnerAnswer = z.infer<typeof ownerAnswer>;

/** `POST /v1/verifier-tickets` (operator) */
export const verifierTicketRequest = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/),
  ttl_seconds: z.number().int().min(60).max(31_536_000),
  relay: z.boolean().default(false).describe("for a relay, which gives leases on and may ask nothing else"),
});
/** `POST /v1/tickets` on the console (a person who is an owner) */
export const signedTicketRequest = z.strictObject({
  ticket: z.string().min(1).max(8192).describe("DSSE, signed by a passkey of the owner"),
});
export type SignedTicketRequest = z.infer<typeof signedTicketRequest>;
export const ticketAnswer = z.object({ ticket: z.string().describe("a TRUSTWARDEN_TICKET value") });
export type TicketAnswer = z.infer<typeof ticketAnswer>;
