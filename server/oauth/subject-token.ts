/**
 * Token exchange: whom a subject token proves, and whether this client may act for them.
 *
 * A token is exchanged by the one it was meant for: its audience is the client's own SPIFFE ID, which is how a
 * delegator says "you". A client may also narrow a token of its own, with the key that it is bound to. `sub` of the
 * result is the delegator, `act` the client; actors before it are kept for readers, and nothing is decided by them.
 *
 * @see RFC 8693 §2.1, §4.1
 */
import { type AccessToken, MAX_ACTORS } from "@trustwarden/core/access-token.ts";
import { verifyJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import type { TokenRequest } from "@trustwarden/core/api/oauth.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { instanceIdOfSpiffeId, requireLiveChain } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import type { AccessTokenSubject } from "../store/oauth-ports.ts";
import type { OAuthCaller } from "./client-authentication.ts";
import { verifyLiveToken } from "./live-token.ts";

const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const JWT = "urn:ietf:params:oauth:token-type:jwt";

interface Exchange {
  readonly caller: OAuthCaller;
  readonly request: TokenRequest;
}

/**
 * The subject of an exchange.
 *
 * @throws TrustWardenError `subject_token_refused`.
 */
export function verifySubjectToken(services: Services, exchange: Exchange): AccessTokenSubject {
  const { subject_token: token, subject_token_type: type } = exchange.request;
  if (token === undefined) return refuse("no subject token");
  return asRefused(() => {
    switch (type) {
      case ACCESS_TOKEN:
        return subjectOfAccessToken(services, token, exchange.caller);
      case JWT:
        return subjectOfJwtSvid(services, token, exchange.caller);
      default:
        return refuse("subject_token_type");
    }
  });
}

/**
 * Refuses an actor token of anybody but the client: a good subject with somebody else's actor would make one act for
 * another who never met it.
 *
 * @throws TrustWardenError `subject_token_refused`.
 */
export function requireActor(services: Services, { caller, request }: Exchange): void {
  const { actor_token: token, actor_token_type: type } = request;
  if ((token === undefined) !== (type === undefined)) refuse("actor_token_type");
  if (token === undefined) return;
  const actor = asRefused(() => {
    if (type === ACCESS_TOKEN) return verifyLiveToken(services, token).clientId;
    return type === JWT ? verifyJwt(services, token, services.oauth.issuer).id : refuse("actor_token_type");
  });
  if (actor !== caller.principal.spiffeId) refuse("the actor is not the client");
}

function subjectOfAccessToken(services: Services, text: string, caller: OAuthCaller): AccessTokenSubject {
  const token = verifyLiveToken(services, text);
  const { jti, scope, expiresAt } = token;
  const instanceId = services.reads.findAccessToken(jti)?.subjectInstanceId ?? refuse("unknown token");
  const client = caller.principal.spiffeId;
  if (token.clientId === client) {
    requireSameKey(token, caller);
    return { instanceId, jti, scope, actors: token.actors, expiresAt };
  }
  if (token.audience !== client) refuse("meant for another");
  return { instanceId, jti, scope, actors: addActor(client, token.actors), expiresAt };
}

function subjectOfJwtSvid(services: Services, text: string, caller: OAuthCaller): AccessTokenSubject {
  const client = caller.principal.spiffeId;
  const svid = verifyJwt(services, text, client);
  const instanceId = instanceIdOfSpiffeId(services, svid.id);
  requireLiveChain(services.reads, instanceId, services.clock.trustedSeconds());
  const actors = svid.id === client ? [] : [client];
  return { instanceId, jti: null, scope: null, actors, expiresAt: svid.expiresAt };
}

/** A JWT-SVID for one audience alone. */
function verifyJwt(services: Services, token: string, audience: string): ReturnType<typeof verifyJwtSvid> {
  const { bundles } = services.federation;
  const svid = verifyJwtSvid(token, { bundles, audience, now: services.clock.trustedSeconds() });
  return svid.audience.length === 1 ? svid : refuse("more than one audience");
}

/** Whoever holds the token but not its key is not the client that it was issued to. */
function requireSameKey({ confirmation }: AccessToken, { client }: OAuthCaller): void {
  const shown = client.bound?.confirmation;
  if (shown?.kind !== confirmation.kind || shown.digest !== confirmation.digest) refuse("another key");
}

function addActor(client: string, before: readonly string[]): readonly string[] {
  if (before.length >= MAX_ACTORS) return refuse("too many hand-overs");
  return [client, ...before];
}

/** What is a bad credential elsewhere is a bad request here, as RFC 8693 §2.2.2 asks. */
function asRefused<Value>(verify: () => Value): Value {
  try {
    return verify();
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.status >= 500) throw cause;
    if (cause.code === "subject_token_refused") throw cause;
    throw new TrustWardenError("subject_token_refused", { reason: cause.code }, { cause });
  }
}

function refuse(reason: string): never {
  throw new TrustWardenError("subject_token_refused", { reason });
}
