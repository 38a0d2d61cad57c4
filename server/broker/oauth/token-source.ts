/**
 * How an upstream's token is got from an authorization server: what an operator says of it, as one request.
 *
 * Client credentials with a client's secret, or with a JWT-SVID of the agent in its place; token exchange and the
 * JWT-bearer grant with a JWT-SVID of the agent as what is exchanged (workload identity federation: the provider knows
 * the agent by our published keys, and nobody keeps a key of it); what a person's login left. Pure.
 *
 * @see RFC 6749 §4.4, §6; RFC 7523 §2.1, §2.2; RFC 8693 §2.1; RFC 8707 §2
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";
import type { Discovery } from "./discovery.ts";

const GRANTS = ["client_credentials", "token_exchange", "jwt_bearer", "login"] as const;
const CLIENT_AUTHS = ["none", "secret_basic", "secret_post", "jwt_svid", "spiffe_jwt"] as const;
const MAX_PARAMETERS = 16;
const PARAMETER = /^[a-z][a-z0-9_]{0,63}$/;
const TEXT = /^[ -~]{1,2048}$/;
const MAX_CA_CHARS = 65_536;
const JWT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/** The same JWT-SVID, under the type of the SPIFFE profile (draft-ietf-oauth-spiffe-client-auth-02 §3.1). */
const JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt";
/** Written by us; an operator's parameter of such a name would say something else than the rest of the settings. */
const OWN_PARAMETERS = new Set([
  "grant_type",
  "client_id",
  "client_secret",
  "client_assertion",
  "client_assertion_type",
  "assertion",
  "refresh_token",
  "subject_token",
  "subject_token_type",
  "actor_token",
  "actor_token_type",
]);

/** Settings of a secret of kind `oauth`. */
export interface TokenSource {
  /** Null where it is found by the upstream's metadata. */
  readonly endpoint: string | null;
  /** Null where the endpoint is given. */
  readonly discovery: Discovery | null;
  readonly grant: (typeof GRANTS)[number];
  readonly clientAuth: (typeof CLIENT_AUTHS)[number];
  readonly clientId: string | null;
  /** `aud` of the agent's JWT-SVID; the issuer, or else the endpoint's origin, unless given. */
  readonly audience: string;
  /** Sent as they are: `scope`, `resource`, `audience`, and what a provider asks for besides. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly body: "form" | "json";
  readonly allowPrivate: boolean;
  /** PEM of authorities to believe instead of the system's. */
  readonly ca: string | null;
  /** Whether tokens are bound to a key of ours, and each request with one is signed (RFC 9449). */
  readonly dpop: boolean;
}

/** A request for a token. Holds secrets: never logged. */
export interface TokenRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** @throws TrustWardenError `secret_malformed`. */
export function parseTokenSource(json: JsonObject): TokenSource {
  const fields = new Fields(json, "secret_malformed", "source.");
  const place = parsePlace(fields, json);
  const source: TokenSource = {
    ...place,
    grant: fields.oneOf("grant", GRANTS),
    clientAuth: fields.oneOf("client_auth", CLIENT_AUTHS),
    clientId: optional(fields, json, "client_id", (name) => fields.matching(name, TEXT)) ?? null,
    audience:
      optional(fields, json, "audience", (name) => fields.matching(name, TEXT)) ??
      place.discovery?.issuer ??
      new URL(place.endpoint ?? "").origin,
    parameters: withResource(parseParameters(fields.take("parameters") ?? {}), place),
    body: optional(fields, json, "body", (name) => fields.oneOf(name, ["form", "json"] as const)) ?? "form",
    allowPrivate: optional(fields, json, "allow_private", (name) => fields.boolean(name)) ?? false,
    ca: optional(fields, json, "ca", (name) => fields.text(name, { maxChars: MAX_CA_CHARS })) ?? null,
    dpop: optional(fields, json, "dpop", (name) => fields.boolean(name)) ?? false,
  };
  fields.end();
  // A person logs in to a client, which is named whether it has a secret or not.
  const isLogin = source.grant === "login";
  if ((isLogin || hasClientSecret(source)) && source.clientId === null) fields.refuse("client_id");
  if (!isClientAuthFit(source)) fields.refuse("client_auth");
  // A login outlives our keys, which are in memory only.
  if (isLogin && source.dpop) fields.refuse("dpop");
  return source;
}

/** A JWT-SVID is an agent's, to whom nobody logged in; and something has to say who asks. */
function isClientAuthFit({ grant, clientAuth }: TokenSource): boolean {
  if (grant === "login") return assertionTypeOf(clientAuth) === null;
  return grant !== "client_credentials" || clientAuth !== "none";
}

/** Whether the secret's value is a client's secret; otherwise there is no value. */
export function hasClientSecret({ clientAuth }: TokenSource): boolean {
  return clientAuth === "secret_basic" || clientAuth === "secret_post";
}

/** Whether the agent's JWT-SVID goes along: then each agent gets a token of its own. */
export function needsAgent({ grant, clientAuth }: TokenSource): boolean {
  const isOfAgent = grant === "token_exchange" || grant === "jwt_bearer";
  return isOfAgent || assertionTypeOf(clientAuth) !== null;
}

/** What goes into a request besides its source; empty where the source needs none of it. */
export interface TokenCredentials {
  readonly clientSecret: string;
  /** Of the agent, for the source's audience. */
  readonly jwtSvid: string;
  readonly refreshToken: string;
}

/** The request for one token. */
export function formatTokenRequest(source: TokenSource, credentials: TokenCredentials): TokenRequest {
  const { clientSecret, jwtSvid } = credentials;
  const { clientAuth, clientId } = source;
  const type = assertionTypeOf(clientAuth);
  const members: Readonly<Record<string, string>> = {
    ...source.parameters,
    ...grantOf(source, credentials),
    ...(clientId === null || clientAuth === "secret_basic" ? {} : { client_id: clientId }),
    ...(clientAuth === "secret_post" ? { client_secret: clientSecret } : {}),
    ...(type === null ? {} : { client_assertion_type: type, client_assertion: jwtSvid }),
  };
  const isForm = source.body === "form";
  const basic = [clientId ?? "", clientSecret].map(encodeURIComponent).join(":");
  return {
    headers: {
      accept: "application/json",
      "content-type": isForm ? "application/x-www-form-urlencoded" : "application/json",
      ...(clientAuth === "secret_basic"
        ? { authorization: `Basic ${Buffer.from(basic, "utf8").toString("base64")}` }
        : {}),
    },
    body: isForm ? new URLSearchParams({ ...members }).toString() : JSON.stringify(members),
  };
}

/** As what the agent's JWT-SVID says who asks; null where it does not. */
function assertionTypeOf(clientAuth: TokenSource["clientAuth"]): string | null {
  if (clientAuth === "spiffe_jwt") return JWT_SPIFFE;
  return clientAuth === "jwt_svid" ? JWT_ASSERTION : null;
}

function grantOf(
  { grant }: TokenSource,
  { jwtSvid, refreshToken }: TokenCredentials,
): Readonly<Record<string, string>> {
  switch (grant) {
    case "client_credentials":
      return { grant_type: "client_credentials" };
    case "login":
      return { grant_type: "refresh_token", refresh_token: refreshToken };
    case "token_exchange":
      return {
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token: jwtSvid,
        subject_token_type: JWT_TYPE,
      };
    case "jwt_bearer":
      return { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: jwtSvid };
  }
}

/** Either the endpoint, or the issuer and the resource by which it is found. */
function parsePlace(fields: Fields, json: JsonObject): Pick<TokenSource, "endpoint" | "discovery"> {
  if (json.issuer === undefined && json.resource === undefined) {
    for (const name of ["issuer", "resource"]) fields.take(name);
    return { endpoint: parseUrl("token_endpoint", fields.text("token_endpoint")), discovery: null };
  }
  if (json.token_endpoint !== undefined) fields.refuse("token_endpoint");
  const [issuer, resource] = (["issuer", "resource"] as const).map((name) => {
    const text = fields.text(name);
    // An origin is written without the slash that the parser adds.
    parseUrl(name, URL.parse(text)?.href === `${text}/` ? `${text}/` : text);
    return text;
  });
  return { endpoint: null, discovery: { issuer: issuer ?? "", resource: resource ?? "" } };
}

/** What a discovered token is for is said to whoever issues it, and cannot be said otherwise (RFC 8707). */
function withResource(
  parameters: TokenSource["parameters"],
  { discovery }: Pick<TokenSource, "discovery">,
): TokenSource["parameters"] {
  if (discovery === null) return parameters;
  return parameters.resource === undefined ? { ...parameters, resource: discovery.resource } : refuse();
}

function parseUrl(field: string, text: string): string {
  const url = URL.parse(text);
  const isPlain = url !== null && url.username === "" && url.password === "" && url.hash === "";
  // Whether plain http leads to this machine only is asked when it is called.
  if (!isPlain || !["https:", "http:"].includes(url.protocol) || url.href !== text)
    throw new TrustWardenError("secret_malformed", { field: `source.${field}` });
  return text;
}

function parseParameters(json: Json): Readonly<Record<string, string>> {
  if (!isJsonObject(json) || Object.keys(json).length > MAX_PARAMETERS) return refuse();
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      const isFit =
        PARAMETER.test(name) && !OWN_PARAMETERS.has(name) && typeof value === "string" && TEXT.test(value);
      return isFit ? [name, value] : refuse();
    }),
  );
}

function optional<T>(
  fields: Fields,
  json: JsonObject,
  name: string,
  read: (name: string) => T,
): T | undefined {
  if (json[name] === undefined) fields.take(name);
  return json[name] === undefined ? undefined : read(name);
}

function refuse(): never {
  throw new TrustWardenError("secret_malformed", { field: "source.parameters" });
}
