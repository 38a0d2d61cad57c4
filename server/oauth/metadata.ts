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
import { INTROSPECTION_PATH, JWKS_PATH, REVOCATION_PATH, TOKEN_PATH } from "./authorization-server.ts";
import { GRANT_TYPES } from "./token-endpoint.ts";

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
