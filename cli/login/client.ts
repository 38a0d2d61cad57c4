/** As whom a person logs in: a client that the authorization server knows, or one that is registered for this secret. */
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import {
  type AuthorizationServer,
  type Client,
  type ClientAuth,
  ClientSecretPost,
  dynamicClientRegistrationRequest,
  None,
} from "oauth4webapi";
import { callOptions, explain, failed, parsePlace } from "./web.ts";

const METHODS = ["none", "client_secret_basic", "client_secret_post"] as const;
type Method = (typeof METHODS)[number];

/** A client, and how it says that it is the one. */
export interface LoginClient {
  readonly id: string;
  readonly secret: string | null;
  /** As a secret's source names it. */
  readonly auth: "none" | "secret_basic" | "secret_post";
}

/**
 * @param known - what whoever runs the command says; null to register one (RFC 7591).
 * @throws TrustWardenError `login_failed`.
 */
export async function openClient(
  server: AuthorizationServer,
  known: { readonly id: string; readonly secret: string | null } | null,
  redirectUri: string,
): Promise<LoginClient> {
  if (known === null) return register(server, redirectUri);
  return { ...known, auth: authOf(known.secret === null ? "none" : methodOf(server, true)) };
}

/** The library's words for it. */
export function describeClient({ id, secret, auth }: LoginClient): {
  readonly client: Client;
  readonly clientAuth: ClientAuth;
} {
  const client = { client_id: id };
  if (auth === "none" || secret === null) return { client, clientAuth: None() };
  return { client, clientAuth: auth === "secret_basic" ? basicAuth(id, secret) : ClientSecretPost(secret) };
}

/** As the broker writes it later: the encoding that servers with and without decoding read alike (RFC 6749 §2.3.1). */
function basicAuth(id: string, secret: string): ClientAuth {
  const pair = [id, secret].map(encodeURIComponent).join(":");
  return (_server, _client, _body, headers) =>
    headers.set("authorization", `Basic ${Buffer.from(pair, "utf8").toString("base64")}`);
}

async function register(server: AuthorizationServer, redirectUri: string): Promise<LoginClient> {
  const endpoint = server.registration_endpoint;
  if (endpoint === undefined)
    throw failed("the issuer registers no clients by itself: register one there, and say --client-id");
  const place = parsePlace(endpoint, "the issuer's registration_endpoint");
  const method = methodOf(server, false);
  try {
    const answer = await dynamicClientRegistrationRequest(
      server,
      {
        client_name: "TrustWarden",
        application_type: "native",
        redirect_uris: [redirectUri],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: method,
      },
      callOptions(place),
    );
    if (![200, 201].includes(answer.status))
      throw failed(`the issuer registered no client: ${answer.status}`);
    return readClient(parseJsonObject(await answer.text()), method);
  } catch (error) {
    throw explain(error, "the issuer registered no client");
  }
}

/** RFC 7591 §3.2.1, without the members that servers leave out and we do not need. */
function readClient(
  { client_id: id, client_secret: secret = null, token_endpoint_auth_method: given }: JsonObject,
  asked: Method,
): LoginClient {
  const method = METHODS.find((one) => one === given) ?? asked;
  if (typeof id !== "string" || id === "") throw failed("the issuer registered a client without an id");
  if (method === "none") return { id, secret: null, auth: "none" };
  if (typeof secret !== "string")
    throw failed("the issuer registered a client without the secret that it asks for");
  return { id, secret, auth: authOf(method) };
}

/** What the server takes, the one with the least to keep first; RFC 8414 §2 says what silence means. */
function methodOf(
  { token_endpoint_auth_methods_supported: supported = ["client_secret_basic"] }: AuthorizationServer,
  hasSecret: boolean,
): Method {
  const method = METHODS.find((one) => supported.includes(one) && !(hasSecret && one === "none"));
  if (method === undefined)
    throw failed(`clients authenticate there by ${supported.join(", ").slice(0, 200)}`);
  return method;
}

function authOf(method: Method): LoginClient["auth"] {
  switch (method) {
    case "none":
      return "none";
    case "client_secret_basic":
      return "secret_basic";
    case "client_secret_post":
      return "secret_post";
  }
}
