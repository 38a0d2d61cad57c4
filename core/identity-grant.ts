/**
 * Identity assertion grants (ID-JAG) that we give: who may ask another authorization server for a token, in whose name,
 * for what, and with which key.
 *
 * Only issuing: those of others are verified with the keys of their issuers, whatever algorithm those use. `act` and
 * `actor_token` are undefined in the draft, and so absent: the client is `client_id`, and nobody else.
 *
 * @see draft-ietf-oauth-identity-assertion-authz-grant-03 §3; docs/decisions/0027
 */
import { type Confirmation, formatAccessTokenKid } from "./access-token.ts";
import type { JsonObject } from "./json.ts";
import { issueJws } from "./jws.ts";
import type { Signer } from "./signer.ts";

/** `typ` of every such grant. */
export const IDENTITY_GRANT_TYP = "oauth-id-jag+jwt";
/** It is used at once, and cannot be revoked. */
export const MAX_IDENTITY_GRANT_SECONDS = 300;

/** What a grant says. */
export interface IdentityGrant {
  readonly issuer: string;
  /** SPIFFE ID in whose name the token will be. */
  readonly subject: string;
  /** Issuer of the authorization server that it is for. */
  readonly audience: string;
  /** The client, as that server knows it. */
  readonly clientId: string;
  /** What the token will be for. */
  readonly resource: string;
  /** In that server's words. */
  readonly scope: readonly string[];
  readonly jti: string;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** The key that has to be shown with it. */
  readonly confirmation: Confirmation;
}

/** Signs a grant. @param options.kid - of the authority's JWT key. */
export function issueIdentityGrant(
  grant: IdentityGrant,
  options: { readonly kid: string; readonly signer: Signer },
): string {
  const { confirmation } = grant;
  const payload: JsonObject = {
    iss: grant.issuer,
    sub: grant.subject,
    aud: grant.audience,
    client_id: grant.clientId,
    resource: grant.resource,
    scope: grant.scope.join(" "),
    jti: grant.jti,
    iat: grant.issuedAt,
    exp: grant.expiresAt,
    cnf: { [confirmation.kind]: confirmation.digest },
  };
  const header = { typ: IDENTITY_GRANT_TYP, kid: formatAccessTokenKid(options.kid) };
  return issueJws({ header, payload, signer: options.signer });
}
