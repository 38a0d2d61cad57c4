/**
 * The token endpoint: from a proven client and its form to one command of the store.
 *
 * The client acts for itself (client credentials, or a JWT-SVID as the grant), for whoever gave it a token (token
 * exchange), or because another issuer allows it (an identity assertion grant). It may also exchange for such a grant, for
 * a server elsewhere. What may be said is decided in the store's transaction; here is only what the form says.
 *
 * @see RFC 6749 §4.4; RFC 8693 §2; RFC 8707 §2; RFC 7523 §2.1; draft-ietf-oauth-identity-assertion-authz-grant-03
 */
import type { TokenAnswer, TokenRequest } from "@trustwarden/core/api/oauth.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import { contextOf } from "../http/command-context.ts";
import type { Visit } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import type { AcceptedGrant, AccessTokenSubject, IssueAccessTokenCommand } from "../store/oauth-ports.ts";
import { isIdentityGrant } from "./accepted-grants.ts";
import { JWT_BEARER, type OAuthCaller, type OAuthClient } from "./client-authentication.ts";
import { clientOf } from "./oauth-caller.ts";
import { parseResource } from "./resource.ts";
import { requireActor, verifySubjectToken } from "./subject-token.ts";

const CLIENT_CREDENTIALS = "client_credentials";
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
/** In the metadata, in the order of use. */
export const GRANT_TYPES = [CLIENT_CREDENTIALS, TOKEN_EXCHANGE, JWT_BEARER] as const;
/** Asked for by `requested_token_type`. */
export const IDENTITY_GRANT_TYPE = "urn:ietf:params:oauth:token-type:id-jag";
const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";

/**
 * A token for the calling client. It leaves only after its event is durable in the ledger.
 *
 * @throws TrustWardenError `grant_type_unsupported`, `target_malformed`, `scope_malformed`, `token_unbound`,
 *   `subject_token_refused`, and the codes of `issueAccessToken`.
 */
export async function issueAccessToken(services: Services, visit: Visit<TokenRequest>): Promise<TokenAnswer> {
  const { body } = visit;
  const caller = clientOf(visit.caller);
  switch (body.grant_type) {
    case CLIENT_CREDENTIALS:
      return issue(services, visit, { caller, subject: null, grant: null });
    case JWT_BEARER:
      return issue(services, visit, {
        caller,
        subject: null,
        grant: await acceptGrant(services, body, caller),
      });
    case TOKEN_EXCHANGE: {
      if (body.requested_token_type === IDENTITY_GRANT_TYPE) return giveGrant(services, visit, caller);
      requireExchange(body);
      const subject = verifySubjectToken(services, { caller, request: body });
      requireActor(services, { caller, request: body });
      return issue(services, visit, { caller, subject, grant: null });
    }
    default:
      throw new TrustWardenError("grant_type_unsupported");
  }
}

/** We exchange for one kind of token. @see RFC 8693 §2.1 */
function requireExchange({ requested_token_type: type, audience, resource }: TokenRequest): void {
  if (type !== undefined && type !== ACCESS_TOKEN_TYPE) {
    throw new TrustWardenError("request_malformed", { reason: "requested_token_type" });
  }
  // Two names for the target are two readings of it.
  if (audience !== undefined && audience !== resource) throw new TrustWardenError("target_malformed");
}

async function issue(
  services: Services,
  visit: Visit<TokenRequest>,
  {
    caller,
    subject,
    grant,
  }: {
    readonly caller: OAuthCaller;
    readonly subject: AccessTokenSubject | null;
    readonly grant: AcceptedGrant | null;
  },
): Promise<TokenAnswer> {
  const { body } = visit;
  const bound = requireBound(caller.client);
  const command: IssueAccessTokenCommand = {
    context: contextOf(services, visit),
    issuer: services.oauth.issuer,
    grantType: body.grant_type,
    client: { ...caller.client, instanceId: caller.principal.instanceId },
    subject,
    grant,
    audience: parseResource(body.resource),
    scope: parseRequestedScope(body.scope),
    confirmation: bound.confirmation,
    keySha256: bound.keySha256,
    statusLists: services.lists.statusLists,
  };
  const committed = await services.commands.issueAccessToken(command);
  await services.ledger.settle(committed);
  const { token, scope, expiresAt } = committed.value;
  return {
    access_token: token,
    // RFC 8705 §3 has no type of its own for a token that is bound to a certificate.
    token_type: bound.confirmation.kind === "jkt" ? "DPoP" : "Bearer",
    expires_in: expiresAt - Math.floor(command.context.nowMs / 1000),
    scope: scope.join(" "),
    ...(subject === null ? {} : { issued_token_type: ACCESS_TOKEN_TYPE }),
  };
}

/**
 * What another issuer allows; null when the assertion is the client's own JWT-SVID, which says who it is and nothing more.
 *
 * @throws TrustWardenError `assertion_refused`, and the codes of `AcceptedGrants.verify`.
 */
async function acceptGrant(
  { oauth, clock }: Services,
  body: TokenRequest,
  { principal, client, documentUrl }: OAuthCaller,
): Promise<AcceptedGrant | null> {
  const { assertion } = body;
  if (assertion === undefined) throw new TrustWardenError("assertion_refused", { reason: "missing" });
  if (isIdentityGrant(assertion)) {
    const clientIds = [principal.spiffeId, ...(documentUrl === null ? [] : [documentUrl])];
    const { bound } = client;
    return oauth.acceptedGrants.verify({
      ...{ assertion, clientIds, bound, resource: parseResource(body.resource) },
      ...{ audience: oauth.issuer, now: clock.trustedSeconds() },
    });
  }
  // Beside another proof nobody has verified it.
  if (client.assertion === null || body.client_assertion !== undefined) {
    throw new TrustWardenError("assertion_refused", { reason: "not a grant" });
  }
  return null;
}

/** A grant for another authorization server. @throws TrustWardenError as `issueAccessToken`. */
async function giveGrant(
  services: Services,
  visit: Visit<TokenRequest>,
  caller: OAuthCaller,
): Promise<TokenAnswer> {
  const { body } = visit;
  const { confirmation, keySha256 } = requireBound(caller.client);
  const planned = services.oauth.givenGrants.plan(body);
  // The draft leaves the actor undefined: a good subject could be paired with an actor who never met it.
  if (body.actor_token !== undefined)
    throw new TrustWardenError("subject_token_refused", { reason: "actor" });
  const subject = verifySubjectToken(services, { caller, request: body });
  const context = contextOf(services, visit);
  const committed = await services.commands.issueIdentityGrant({
    ...planned,
    context,
    issuer: services.oauth.issuer,
    client: { ...caller.client, instanceId: caller.principal.instanceId },
    subject,
    confirmation,
    keySha256,
  });
  await services.ledger.settle(committed);
  const { grant, expiresAt } = committed.value;
  return {
    access_token: grant,
    token_type: "N_A",
    expires_in: expiresAt - Math.floor(context.nowMs / 1000),
    scope: planned.words.join(" "),
    issued_token_type: IDENTITY_GRANT_TYPE,
  };
}

/** Whoever sees a token must not be able to use it. @throws TrustWardenError `token_unbound`. */
function requireBound({ bound }: OAuthClient): NonNullable<OAuthClient["bound"]> {
  if (bound === null) throw new TrustWardenError("token_unbound");
  return bound;
}

function parseRequestedScope(text: string | undefined): Scope | null {
  return text === undefined ? null : parseScope(text.split(" "));
}
