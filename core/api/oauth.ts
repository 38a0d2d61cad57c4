/**
 * OAuth endpoints: what a form may say and what is answered. Names are those of the RFCs; what is not named here is
 * ignored, as they ask.
 *
 * @see RFC 6749 §4.4; RFC 8693 §2; RFC 7662; RFC 7009; RFC 8414
 */
import { z } from "zod";

const word = z.string().min(1).max(2048);
const token = z.string().min(1).max(8192);

/** How a client proves itself when its socket does not (draft-ietf-oauth-spiffe-client-auth-02 §3). */
const clientAuthentication = {
  client_id: word.optional(),
  client_assertion_type: word.optional(),
  client_assertion: token.optional(),
} as const;
export const oauthClientForm = z.object({
  ...clientAuthentication,
  grant_type: word.optional(),
  assertion: token.optional().describe("of the JWT bearer grant: a JWT-SVID there says who asks"),
});
export type OAuthClientForm = z.output<typeof oauthClientForm>;

/** `POST /oauth/token` */
export const tokenRequest = z.object({
  ...clientAuthentication,
  grant_type: word,
  resource: word.optional().describe("required: the one resource that the token is for (RFC 8707)"),
  scope: z.string().min(1).max(16_384).optional().describe("atoms of the scope grammar, space between"),
  audience: word.optional(),
  subject_token: token.optional(),
  subject_token_type: word.optional(),
  actor_token: token.optional(),
  actor_token_type: word.optional(),
  requested_token_type: word.optional(),
  assertion: token.optional(),
});
export type TokenRequest = z.output<typeof tokenRequest>;

export const tokenAnswer = z.object({
  access_token: z.string(),
  token_type: z.enum(["DPoP", "Bearer", "N_A"]).describe("Bearer: bound to the client's certificate"),
  expires_in: z.number().int(),
  scope: z.string().optional(),
  issued_token_type: z.string().optional(),
});
export type TokenAnswer = z.infer<typeof tokenAnswer>;

/** `POST /oauth/introspect` and `POST /oauth/revoke` */
export const tokenForm = z.object({ ...clientAuthentication, token, token_type_hint: word.optional() });
export type TokenForm = z.output<typeof tokenForm>;

const actor: z.ZodType<{ readonly sub: string }> = z.looseObject({ sub: z.string() });
export const introspectionAnswer = z.object({
  active: z.boolean(),
  iss: z.string().optional(),
  sub: z.string().optional(),
  aud: z.string().optional(),
  client_id: z.string().optional(),
  scope: z.string().optional(),
  jti: z.string().optional(),
  iat: z.number().int().optional(),
  exp: z.number().int().optional(),
  token_type: z.string().optional(),
  cnf: z.record(z.string(), z.string()).optional(),
  act: actor.optional(),
});
export type IntrospectionAnswer = z.infer<typeof introspectionAnswer>;

/** Of every OAuth endpoint. */
export const oauthErrorAnswer = z.object({ error: z.string(), error_description: z.string() });
export type OAuthErrorAnswer = z.infer<typeof oauthErrorAnswer>;

/** `GET /.well-known/oauth-authorization-server/oauth` */
export const authorizationServerMetadata = z.object({
  issuer: z.string(),
  token_endpoint: z.string(),
  jwks_uri: z.string(),
  introspection_endpoint: z.string(),
  revocation_endpoint: z.string(),
  response_types_supported: z.array(z.string()),
  grant_types_supported: z.array(z.string()),
  token_endpoint_auth_methods_supported: z.array(z.string()),
  token_endpoint_auth_signing_alg_values_supported: z.array(z.string()),
  introspection_endpoint_auth_methods_supported: z.array(z.string()),
  introspection_endpoint_auth_signing_alg_values_supported: z.array(z.string()),
  revocation_endpoint_auth_methods_supported: z.array(z.string()),
  revocation_endpoint_auth_signing_alg_values_supported: z.array(z.string()),
  dpop_signing_alg_values_supported: z.array(z.string()),
  tls_client_certificate_bound_access_tokens: z.boolean(),
  client_id_metadata_document_supported: z.boolean(),
  authorization_grant_profiles_supported: z
    .array(z.string())
    .optional()
    .describe("identity assertion grants of other issuers count here"),
  identity_chaining_requested_token_types_supported: z
    .array(z.string())
    .optional()
    .describe("grants of ours for other servers can be exchanged for"),
  mtls_endpoint_aliases: z
    .object({
      token_endpoint: z.string(),
      introspection_endpoint: z.string(),
      revocation_endpoint: z.string(),
    })
    .optional()
    .describe("where a client shows its certificate, when the endpoints are on the web"),
});
export type AuthorizationServerMetadata = z.infer<typeof authorizationServerMetadata>;
