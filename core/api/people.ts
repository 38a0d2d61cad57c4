/** HTTP API: people, who log in with a passkey or through an identity provider. Served to the console and to operators. */
import { z } from "zod";
import { ROLES } from "../role.ts";

const base64url = z.string().regex(/^[A-Za-z0-9_-]*$/);
/** As `console.identityProviders` names it. */
export const providerName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/);
const credentialId = base64url.min(1).max(1366);
/** Far more than an authenticator's data takes. */
const blob = base64url.max(16_384);
const role = z.enum(ROLES);
const roles = z
  .array(role)
  .min(1)
  .max(ROLES.length)
  .refine((list) => new Set(list).size === list.length, "each once");
const personId = z.string().regex(/^prs_[0-9A-HJKMNP-TV-Z]{26}$/);
/** What others see of somebody: no control characters, no right-to-left tricks. */
export const displayName = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[\p{L}\p{M}\p{N}\p{P}\p{Zs}]+$/u);

/** `navigator.credentials.create(...).toJSON()`, the members that are read. */
export const registrationResponse = z.object({
  id: credentialId,
  rawId: credentialId,
  type: z.literal("public-key"),
  response: z.object({
    clientDataJSON: blob,
    attestationObject: blob,
    transports: z
      .array(z.enum(["ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"]))
      .max(8)
      .optional(),
  }),
});
export type RegistrationResponse = z.infer<typeof registrationResponse>;

/** `navigator.credentials.get(...).toJSON()`, the members that are read. */
export const authenticationResponse = z.object({
  id: credentialId,
  rawId: credentialId,
  type: z.literal("public-key"),
  response: z.object({ clientDataJSON: blob, authenticatorData: blob, signature: blob }),
});
export type AuthenticationResponse = z.infer<typeof authenticationResponse>;

/** `GET /v1/passkeys/options/:purpose` */
export const passkeyPurpose = z.object({
  purpose: z.union([
    z.enum(["log-in", "register", "add-passkey", "remove-passkey"]),
    z.templateLiteral(["add-identity:", providerName]).describe("for the identity provider of that name"),
  ]),
});

/** Options for the browser; give them to `parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`. */
export const passkeyOptions = z.object({
  challenge: base64url,
  rpId: z.string().optional().describe("of a login"),
  rp: z.object({ id: z.string(), name: z.string() }).optional().describe("of a registration"),
  user: z
    .object({ id: base64url, name: z.string(), displayName: z.string() })
    .optional()
    .describe("of a registration; put the person's own name in"),
  pubKeyCredParams: z.array(z.object({ type: z.literal("public-key"), alg: z.number().int() })).optional(),
  authenticatorSelection: z
    .object({
      residentKey: z.literal("required"),
      requireResidentKey: z.literal(true),
      userVerification: z.literal("required"),
    })
    .optional(),
  attestation: z.literal("none").optional(),
  allowCredentials: z.array(z.object({ type: z.literal("public-key"), id: base64url })).optional(),
  userVerification: z.literal("required").optional(),
  timeout: z.number().int().describe("milliseconds"),
});
export type PasskeyOptions = z.infer<typeof passkeyOptions>;

export const linkSecret = base64url.length(43).describe("the secret of a one-time link");
/** `POST /v1/people`: somebody comes in by a link, with a passkey. */
export const comingRequest = z.strictObject({
  link: linkSecret,
  name: displayName.describe("as others may see it; sealed at rest, never in the ledger"),
  address: z.string().max(254).optional().describe("kept sealed; proves nothing"),
  credential: registrationResponse,
});
export type ComingRequest = z.infer<typeof comingRequest>;

/** `POST /v1/session` */
export const loginRequest = z.strictObject({ credential: authenticationResponse });
export type LoginRequest = z.infer<typeof loginRequest>;

/** `GET /v1/session`, and the answer of every row that opens one; the secret is in the cookie alone. */
export const sessionAnswer = z.object({
  person_id: personId,
  name: z.string(),
  roles: z.array(role),
  owner_id: z.string().nullable().describe("the owner that this person is"),
  organizations: z.array(
    z.object({ organization_id: z.string(), name: z.string(), role: z.enum(["member", "admin"]) }),
  ),
  via: z.enum(["passkey", "oidc"]),
  opened_at: z.number().int(),
  expires_at: z.number().int().describe("Unix seconds; whatever happens, it ends then"),
  idle_seconds: z.number().int().describe("it ends when it is not used for so long"),
  passkeys: z.array(
    z.object({
      credential_id: z.string(),
      keyid: z.string().describe("what documents that it signs name it by"),
      created_at: z.number().int(),
      last_used_at: z.number().int().nullable(),
      backed_up: z.boolean(),
    }),
  ),
});
export type SessionAnswer = z.infer<typeof sessionAnswer>;

/** `POST /v1/people/links` */
export const linkRequest = z.strictObject({
  roles: roles.optional().describe("owner and admin for the first admin unless given"),
  person: personId.optional().describe("whose passkeys are lost; its roles stay as they are"),
  owner: z.string().max(64).optional().describe("own_…: an owner that the invited person is"),
  organization: z.string().max(64).optional(),
  address: z.string().max(254).optional().describe("the invited person's; sealed at rest"),
});
export type LinkRequest = z.infer<typeof linkRequest>;

export const linkAnswer = z.object({
  link: z.string().describe("one use; whoever opens it first becomes the person"),
  kind: z.enum(["first", "invitation", "recovery"]),
  roles: z.array(role),
  expires_at: z.number().int(),
});
export type LinkAnswer = z.infer<typeof linkAnswer>;

/** `:id` of a person. */
export const personPath = z.object({ id: z.string().min(1).max(64) });

/** `POST /v1/people/:id/roles` */
export const rolesRequest = z.strictObject({ roles });
export type RolesRequest = z.infer<typeof rolesRequest>;

/** `POST /v1/people/:id/end` */
export const endRequest = z.strictObject({
  subtree: z.literal("suspend").optional().describe("an owner leaves: every agent below it stops with it"),
});
export type EndRequest = z.infer<typeof endRequest>;

export const personView = z.object({
  person_id: personId,
  name: z.string(),
  roles: z.array(role),
  owner_id: z.string().nullable(),
  passkeys: z.number().int(),
  providers: z.array(z.string()).describe("issuers that know this person"),
  created_at: z.number().int(),
  ended_at: z.number().int().nullable(),
});
export type PersonView = z.infer<typeof personView>;

/** `GET /v1/people` */
export const peopleQuery = z.strictObject({
  cursor: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const peopleList = z.object({ people: z.array(personView), next_cursor: z.string().nullable() });
export type PeopleList = z.infer<typeof peopleList>;

/** `POST /v1/session/passkeys`: the assertion is of a passkey that is there, over a challenge for `add-passkey`. */
export const passkeyAddition = z.strictObject({
  credential: registrationResponse,
  assertion: authenticationResponse,
});
export type PasskeyAddition = z.infer<typeof passkeyAddition>;

/** `POST /v1/session/passkeys/removal`: the assertion is of a passkey that stays. */
export const passkeyRemoval = z.strictObject({
  credential_id: credentialId,
  assertion: authenticationResponse,
});
export type PasskeyRemoval = z.infer<typeof passkeyRemoval>;

/** Rows that take nothing. */
export const noBody = z.strictObject({});
