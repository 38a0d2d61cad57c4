/** HTTP API: people who sign in through an identity provider. Served to the console. */
import { z } from "zod";
import {
  authenticationResponse,
  displayName,
  linkSecret,
  providerName,
  registrationResponse,
} from "./people.ts";

const base64url = z.string().regex(/^[A-Za-z0-9_-]*$/);

/** `GET /v1/identity-providers` */
export const identityProviderList = z.object({
  providers: z.array(z.object({ name: z.string(), label: z.string().describe("for the button") })),
});
export type IdentityProviderList = z.infer<typeof identityProviderList>;

/** `:name` of a provider. */
export const identityProviderPath = z.object({ name: z.string().min(1).max(64) });

/** `GET /v1/identity-providers/:name/options` */
export const providerOptions = z.object({
  url: z.string().describe("where to go; add `state` and `code_challenge` (S256)"),
  nonce: z.string().describe("give it back with the code; it counts once"),
  expires_at: z.number().int(),
});
export type ProviderOptions = z.infer<typeof providerOptions>;

const providedWord = {
  provider: providerName,
  code: z
    .string()
    .max(2048)
    .regex(/^[\x20-\x7e]+$/),
  code_verifier: base64url.min(43).max(128),
  nonce: base64url.max(256),
  iss: z.string().max(2048).optional().describe("as it stood beside the code"),
};

/** `POST /v1/session/by-provider` */
export const subjectLogin = z.strictObject(providedWord);
export type SubjectLogin = z.infer<typeof subjectLogin>;
export type ProvidedWord = SubjectLogin;

/** `POST /v1/people/by-provider`: somebody comes in by an invitation, known by its subject at the provider from then on. */
export const subjectComing = z.strictObject({
  ...providedWord,
  link: linkSecret,
  name: displayName.describe("as others may see it; sealed at rest, never in the ledger"),
  address: z.string().max(254).optional().describe("kept sealed; proves nothing"),
});
export type SubjectComing = z.infer<typeof subjectComing>;

/** `POST /v1/session/passkeys/first` */
export const firstPasskey = z.strictObject({ credential: registrationResponse });
export type FirstPasskey = z.infer<typeof firstPasskey>;

/** `POST /v1/session/identities`: the assertion is of a passkey that is there, over a challenge for `add-identity:<provider>`. */
export const identityAddition = z.strictObject({ ...providedWord, assertion: authenticationResponse });
export type IdentityAddition = z.infer<typeof identityAddition>;

/** `POST /v1/session/end` */
export const signedOut = z.object({
  ended: z.literal(true),
  elsewhere: z.string().nullable().describe("where to sign out at the identity provider too"),
});
export type SignedOut = z.infer<typeof signedOut>;
