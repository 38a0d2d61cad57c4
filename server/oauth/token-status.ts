/**
 * What is asked and said about a token that somebody holds: introspection and revocation.
 *
 * A service may ask about any token that it was shown; an agent about its own and those that act in its name. Nobody
 * learns more than "not active" of another's. A token is revoked by its `jti`, never by its text.
 *
 * @see RFC 7662 §2; RFC 7009 §2
 */
import type { AccessToken } from "@trustwarden/core/access-token.ts";
import type { IntrospectionAnswer, TokenForm } from "@trustwarden/core/api/oauth.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { contextOf } from "../http/command-context.ts";
import type { RawAnswer, Visit } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import type { Committed } from "../store/ports.ts";
import { verifyLiveToken } from "./live-token.ts";

const INACTIVE: IntrospectionAnswer = { active: false };

/** Whether a token counts now, and what it says. */
export async function introspect(
  services: Services,
  { body, caller }: Visit<TokenForm>,
): Promise<IntrospectionAnswer> {
  const token = await findNewestToken(services, body.token);
  if (token === undefined) return INACTIVE;
  return caller.principal.kind === "verifier" || isPartyOf(token, caller) ? describe(token) : INACTIVE;
}

/**
 * Voids a token of the caller and cuts the calls that run with it. One that has ended, or that is no token, is void
 * already.
 *
 * @throws TrustWardenError `denied` for another's.
 */
export async function revokeAccessToken(services: Services, visit: Visit<TokenForm>): Promise<RawAnswer> {
  const done: RawAnswer = { isRaw: true, contentType: "text/plain", cacheControl: "no-store", content: "" };
  const token = await findNewestToken(services, visit.body.token);
  if (token === undefined) return done;
  if (!isPartyOf(token, visit.caller)) throw new TrustWardenError("denied", { reason: "another's token" });
  const committed = await voidToken(services, visit, token);
  if (committed === undefined) return done;
  // A token ends without an epoch, so no push of the feed asks the calls that run with it.
  services.gateway.calls.cut([{ kind: "narrowed", id: token.clientId }]);
  services.lists.forgetStatusLists();
  await services.ledger.settle(committed);
  return done;
}

/** Nothing when it ended since it was looked at: RFC 7009 §2.2 wants success for what is void already. */
async function voidToken(
  services: Services,
  visit: Visit<TokenForm>,
  { jti }: AccessToken,
): Promise<Committed<null> | undefined> {
  try {
    return await services.commands.revokeAccessToken({ context: contextOf(services, visit), jti });
  } catch (error) {
    // Safe to go on: exactly what was asked for has happened.
    if (error instanceof TrustWardenError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** The client that it was issued to, or the one in whose name it acts. */
function isPartyOf({ clientId, subject }: AccessToken, { principal }: Visit["caller"]): boolean {
  return "spiffeId" in principal && (principal.spiffeId === clientId || principal.spiffeId === subject);
}

/** Another server may have issued it, or ended it, a moment ago. */
async function findNewestToken(services: Services, text: string): Promise<AccessToken | undefined> {
  if (services.sharing.isShared) await services.sharing.catchUp();
  return findLiveToken(services, text);
}

function findLiveToken(services: Services, text: string): AccessToken | undefined {
  try {
    return verifyLiveToken(services, text);
  } catch (error) {
    // Safe to go on: the caller is told that the token is not active.
    if (error instanceof TrustWardenError && error.status < 500) return undefined;
    throw error;
  }
}

function describe(token: AccessToken): IntrospectionAnswer {
  const { confirmation, actors } = token;
  return {
    active: true,
    iss: token.issuer,
    sub: token.subject,
    aud: token.audience,
    client_id: token.clientId,
    scope: token.scope.join(" "),
    jti: token.jti,
    iat: token.issuedAt,
    exp: token.expiresAt,
    token_type: confirmation.kind === "jkt" ? "DPoP" : "Bearer",
    cnf: { [confirmation.kind]: confirmation.digest },
    ...(actors[0] === undefined ? {} : { act: { sub: actors[0] } }),
  };
}
