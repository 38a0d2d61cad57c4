/**
 * A person's login at an authorization server, for a service that takes tokens of it: the authorization code flow with
 * PKCE. What is left of it is a refresh token where one comes, which the broker keeps and nobody else.
 *
 * @see RFC 6749 §4.1; RFC 7636; RFC 8252; RFC 8707; RFC 9207; RFC 9700 §2.1.1
 */
import {
  type AuthorizationServer,
  authorizationCodeGrantRequest,
  calculatePKCECodeChallenge,
  generateRandomCodeVerifier,
  generateRandomState,
  processAuthorizationCodeResponse,
  validateAuthResponse,
} from "oauth4webapi";
import type { Callback } from "./callback.ts";
import { describeClient, type LoginClient } from "./client.ts";
import { callOptions, explain, parsePlace } from "./web.ts";

/** A person may have to find a second factor. */
const TIMEOUT_MS = 600_000;
const OFFLINE = "offline_access";

/** What is asked for. */
export interface LoginOrder {
  readonly server: AuthorizationServer;
  readonly client: LoginClient;
  readonly callback: Callback;
  /** What the tokens are for; null where the server has one purpose only. */
  readonly resource: string | null;
  readonly scope: string | null;
  /** Shows the person where to go. */
  readonly show: (url: string) => void;
}

/** What a login leaves, as the server takes it (`secret put` with the grant `login`). */
export interface Login {
  /** Undefined where none came. */
  readonly refreshToken: string | undefined;
  readonly accessToken: string;
  /** Seconds from now; undefined where nobody said. */
  readonly expiresIn: number | undefined;
}

/** @throws TrustWardenError `login_failed` with the reason. */
export async function logIn({ server, client, callback, ...order }: LoginOrder): Promise<Login> {
  const verifier = generateRandomCodeVerifier();
  const state = generateRandomState();
  const scope = withOffline(order.scope, server);
  const resource = order.resource === null ? {} : { resource: order.resource };
  const url = parsePlace(server.authorization_endpoint ?? "", "the issuer's authorization_endpoint");
  const asked = {
    response_type: "code",
    client_id: client.id,
    redirect_uri: callback.redirectUri,
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    ...resource,
    ...(scope === null ? {} : { scope }),
    // OpenID Connect 1.0 §11: without it a server may leave the refresh token out.
    ...(scope?.split(" ").includes(OFFLINE) ? { prompt: "consent" } : {}),
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  const coming = callback.wait(state, TIMEOUT_MS);
  // The person may break off before anybody waits for it.
  coming.catch(() => undefined);
  order.show(url.href);
  const { client: known, clientAuth } = describeClient(client);
  try {
    const answer = validateAuthResponse(server, known, await coming, state);
    const response = await authorizationCodeGrantRequest(
      server,
      known,
      clientAuth,
      answer,
      callback.redirectUri,
      verifier,
      {
        ...callOptions(parsePlace(server.token_endpoint ?? "", "the issuer's token_endpoint")),
        additionalParameters: resource,
      },
    );
    const tokens = await processAuthorizationCodeResponse(server, known, response);
    const { refresh_token: refreshToken, access_token: accessToken, expires_in: expiresIn } = tokens;
    return { refreshToken, accessToken, expiresIn };
  } catch (error) {
    throw explain(error, "the login was refused");
  }
}

/** Asked for where the server knows it: the login is for when its person is away. */
function withOffline(scope: string | null, { scopes_supported: known }: AuthorizationServer): string | null {
  const scopes = scope === null ? [] : scope.split(" ");
  if (known?.includes(OFFLINE) !== true || scopes.includes(OFFLINE)) return scope;
  return [...scopes, OFFLINE].join(" ");
}
