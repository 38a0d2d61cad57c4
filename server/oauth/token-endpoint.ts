/**
 * The token endpoint: from a proven client and its form to one command of the store.
 *
 * The client acts for itself (client credentials) or for whoever gave it a token (token exchange). What the token may
 * say is decided in the store's transaction; here is only what the form says and whom the subject token proves.
 *
 * @see RFC 6749 §4.4; RFC 8693 §2; RFC 8707 §2
 */
import type { TokenAnswer, TokenRequest } from "@trustwarden/core/api/oauth.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import { contextOf } from "../http/command-context.ts";
import type { Visit } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import type { AccessTokenSubject, IssueAccessTokenCommand } from "../store/oauth-ports.ts";
import type { OAuthCaller, OAuthClient } from "./client-authentication.ts";
import { clientOf } from "./oauth-caller.ts";
import { parseResource } from "./resource.ts";
import { requireActor, verifySubjectToken } from "./subject-token.ts";

const CLIENT_CREDENTIALS = "client_credentials";
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
/** In the metadata, in the order of use. */
export const GRANT_TYPES = [CLIENT_CREDENTIALS, TOKEN_EXCHANGE] as const;
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
      return issue(services, visit, { caller, subject: null });
    case TOKEN_EXCHANGE: {
      requireExchange(body);
      const subject = verifySubjectToken(services, { caller, request: body });
      requireActor(services, { caller, request: body });
      return issue(services, visit, { caller, subject });
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
  { caller, subject }: { readonly caller: OAuthCaller; readonly subject: AccessTokenSubject | null },
): Promise<TokenAnswer> {
  const { body } = visit;
  const bound = requireBound(caller.client);
  const command: IssueAccessTokenCommand = {
    context: contextOf(services, visit),
    issuer: services.oauth.issuer,
    grantType: body.grant_type,
    client: { ...caller.client, instanceId: caller.principal.instanceId },
    subject,
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

/** Whoever sees a token must not be able to use it. @throws TrustWardenError `token_unbound`. */
function requireBound({ bound }: OAuthClient): NonNullable<OAuthClient["bound"]> {
  if (bound === null) throw new TrustWardenError("token_unbound");
  return bound;
}

function parseRequestedScope(text: string | undefined): Scope | null {
  return text === undefined ? null : parseScope(text.split(" "));
}
