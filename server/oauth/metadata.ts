/**
 * What a stranger may read of the authorization server: its metadata and the keys of its tokens.
 *
 * The keys are those of JWT-SVIDs under key ids of their own, so that neither kind of token is found by a reader of
 * the other's key set.
 *
 * @see RFC 8414 §2; RFC 9449 §5.1; RFC 8705 §3.3
 */
import { formatAccessTokenKid } from "@trustwarden/core/access-token.ts";
import type { AuthorizationServerMetadata } from "@trustwarden/core/api/oauth.ts";
import { formatP256Jwk } from "@trustwarden/core/crypto.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import type { RawAnswer } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import {
  CLIENT_PATH,
  INTROSPECTION_PATH,
  JWKS_PATH,
  REVOCATION_PATH,
  TOKEN_PATH,
} from "./authorization-server.ts";
import { GRANT_TYPES, IDENTITY_GRANT_TYPE } from "./token-endpoint.ts";

const IDENTITY_GRANT_PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag";
/** What it says changes with the configuration alone. */
const CLIENT_SECONDS = 3600;
const ALGORITHMS = ["ES256"];

/** Endpoints, grants and proofs; there is no authorization endpoint, since nobody logs in here. */
export async function discoverOAuth({ oauth, witSvid }: Services): Promise<AuthorizationServerMetadata> {
  const methods = ["spiffe_x509", "spiffe_jwt", ...(witSvid ? ["spiffe_wit"] : [])];
  const onMain = (path: string) => oauth.endpoint(path);
  const onWeb = (path: string) => `${oauth.publicOrigin}${path}`;
  return {
    issuer: oauth.issuer,
    ...endpointsAt(oauth.isOnWeb ? onWeb : onMain),
    jwks_uri: `${oauth.publicOrigin}${JWKS_PATH}`,
    response_types_supported: [],
    grant_types_supported: [...GRANT_TYPES],
    token_endpoint_auth_methods_supported: methods,
    token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    introspection_endpoint_auth_methods_supported: methods,
    introspection_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    revocation_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    dpop_signing_alg_values_supported: ALGORITHMS,
    tls_client_certificate_bound_access_tokens: true,
    client_id_metadata_document_supported: oauth.documents.isServed,
    ...(oauth.acceptedGrants.isServed
      ? { authorization_grant_profiles_supported: [IDENTITY_GRANT_PROFILE] }
      : {}),
    ...(oauth.givenGrants.isServed
      ? { identity_chaining_requested_token_types_supported: [IDENTITY_GRANT_TYPE] }
      : {}),
    ...(oauth.isOnWeb ? { mtls_endpoint_aliases: endpointsAt(onMain) } : {}),
  };
}

function endpointsAt(urlOf: (path: string) => string) {
  return {
    token_endpoint: urlOf(TOKEN_PATH),
    introspection_endpoint: urlOf(INTROSPECTION_PATH),
    revocation_endpoint: urlOf(REVOCATION_PATH),
  };
}

/**
 * The document that names our agents, all of them, as one client of other servers: whoever of this trust domain proves
 * itself by its SVID is one of ours. It names no agent.
 *
 * @see draft-ietf-oauth-client-id-metadata-document-02 §4; draft-ietf-oauth-spiffe-client-auth-02 §5.1
 */
export async function describeClient({ oauth, trustDomain }: Services): Promise<RawAnswer> {
  return {
    isRaw: true,
    contentType: "application/json",
    cacheControl: `public, max-age=${CLIENT_SECONDS}`,
    content: formatCanonicalJson({
      client_id: `${oauth.publicOrigin}${CLIENT_PATH}`,
      client_name: `Agents of ${trustDomain}`,
      spiffe_id: `spiffe://${trustDomain}/*`,
      spiffe_bundle_endpoint: `${oauth.publicOrigin}/v1/bundle`,
      token_endpoint_auth_method: "spiffe_jwt",
      grant_types: [...GRANT_TYPES],
      response_types: [],
    }),
  };
}

/** Keys of access tokens. */
export async function readOAuthJwks({ authority }: Services): Promise<RawAnswer> {
  const { bundle } = authority();
  const keys = Array.from(bundle.jwtAuthorities, ([kid, key]) => ({
    ...formatP256Jwk(key),
    alg: "ES256",
    use: "sig",
    kid: formatAccessTokenKid(kid),
  }));
  return {
    isRaw: true,
    contentType: "application/jwk-set+json",
    cacheControl: `public, max-age=${bundle.refreshHintSeconds}`,
    content: formatCanonicalJson({ keys }),
  };
}
